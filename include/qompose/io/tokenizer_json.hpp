// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Hugging Face's `tokenizer.json`, and the files beside it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/json_text.hpp"
#include "qompose/io/tokenizer_data.hpp"
#include "qompose/io/tokenizer_json_text.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// Fills in a tokenizer from the parts of a `tokenizer.json`.
class json_tokenizer_reader {
 public:
  /// @param root the parsed file; must outlive this
  /// @param name names the file in messages
  json_tokenizer_reader(const nlohmann::json& root, const std::string& name) : root_(&root) {
    data_.name = name;
  }

  /// See @ref read_tokenizer_json.
  tokenizer_data read() {
    read_model();
    read_added_tokens();
    if (const auto* normalizer = find_member(*root_, "normalizer"))
      read_json_normalizer(*normalizer, data_);
    if (const auto* pre_tokenizer = find_member(*root_, "pre_tokenizer"))
      read_json_pre_tokenizer(*pre_tokenizer, data_);
    // Byte-level files name a control token here, if any, and it stays one.
    if (data_.spelling == piece_spelling::byte_level && data_.unknown_id)
      data_.kinds[static_cast<std::size_t>(*data_.unknown_id)] = token_kind::control;
    if (const auto* decoder = find_member(*root_, "decoder")) read_json_decoder(*decoder, data_);
    if (const auto* post = find_member(*root_, "post_processor")) read_post_processor(*post);
    return std::move(data_);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw file_error(data_.name + ": " + what);
  }

  void read_model() {
    const auto* model = find_member(*root_, "model");
    if (model == nullptr || !model->is_object()) fail("no \"model\"; is this a tokenizer.json?");
    const std::string type = model->value("type", "BPE");
    if (type != "BPE") fail("model of type " + type + " is not supported, expected BPE");
    for (const char* const affix : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      const auto* text = find_member(*model, affix);
      if (text != nullptr && *text != "")
        fail(std::string("model: ") + affix + " is not supported");
    }
    read_vocabulary(*model);
    read_merges(*model);

    data_.order = merge_order::by_rank;
    const auto flag = [&](const char* key) {
      const auto* value = find_member(*model, key);
      return value != nullptr && value->get<bool>();
    };
    data_.byte_fallback = flag("byte_fallback");
    data_.fuse_unknown = flag("fuse_unk");
    data_.ignore_merges = flag("ignore_merges");
    if (data_.byte_fallback) {
      for (std::size_t i = 0; i < data_.pieces.size(); ++i)
        if (spelled_byte(data_.pieces[i])) data_.kinds[i] = token_kind::byte;
    }
    if (const auto* unknown = find_member(*model, "unk_token")) {
      const auto& ids = model->at("vocab");
      const auto found = ids.find(unknown->get<std::string>());
      if (found == ids.end()) fail("model: unk_token is not in the vocabulary");
      data_.unknown_id = found->get<token_id>();
      data_.kinds[static_cast<std::size_t>(*data_.unknown_id)] = token_kind::unknown;
    }
  }

  void read_vocabulary(const nlohmann::json& model) {
    const auto* vocab = find_member(model, "vocab");
    if (vocab == nullptr || !vocab->is_object() || vocab->empty()) fail("model: no \"vocab\"");
    place_pieces(*vocab, data_);
  }

  void read_merges(const nlohmann::json& model) {
    const auto* merges = find_member(model, "merges");
    if (merges == nullptr || !merges->is_array()) fail("model: no \"merges\"");
    for (const auto& merge : *merges) {
      if (merge.is_string()) {
        data_.merges.push_back(split_merge(merge.get_ref<const std::string&>(), data_.name));
      } else if (merge.is_array() && merge.size() == 2) {
        data_.merges.emplace_back(merge[0].get<std::string>(), merge[1].get<std::string>());
      } else {
        fail("merges: " + merge.dump().substr(0, 100) + ", expected two pieces");
      }
    }
  }

  void read_added_tokens() {
    const auto* tokens = find_member(*root_, "added_tokens");
    if (tokens == nullptr) return;
    for (const auto& token : *tokens) {
      added_token added;
      added.text = token.at("content").get<std::string>();
      added.special = token.value("special", false);
      added.strip_left = token.value("lstrip", false);
      added.strip_right = token.value("rstrip", false);
      if (token.value("single_word", false))
        fail("added token " + added.text + ": single_word is not supported");
      const auto id = token.at("id").get<std::uint64_t>();
      added.id = place_added_token(id, added, data_);
      if (added.special && ends_generation(added.text)) data_.end_ids.push_back(added.id);
      data_.added_tokens.push_back(std::move(added));
    }
  }

  /// Takes BOS and EOS from a template; other post-processors that are known do nothing to ids.
  void read_post_processor(const nlohmann::json& post) {
    const std::string type = post.at("type").get<std::string>();
    if (type == "Sequence") {
      for (const auto& part : post.at("processors")) {
        if (part.at("type") == "Sequence") fail("post_processor: a Sequence inside a Sequence");
        read_post_processor(part);
      }
    } else if (type == "TemplateProcessing") {
      read_template(post);
    } else if (type != "ByteLevel") {
      fail("post_processor of type " + type + " is not supported");
    }
  }

  void read_template(const nlohmann::json& post) {
    bool after_text = false;
    for (const auto& part : post.at("single")) {
      if (part.contains("Sequence")) {
        after_text = true;
        continue;
      }
      const auto& name = part.at("SpecialToken").at("id").get_ref<const std::string&>();
      const auto& ids = post.at("special_tokens").at(name).at("ids");
      bool& added = after_text ? data_.add_eos : data_.add_bos;
      if (added || ids.size() != 1)
        fail("post_processor: more than one token before or after the text is not supported");
      added = true;
      (after_text ? data_.eos_id : data_.bos_id) = ids[0].get<token_id>();
    }
  }

  const nlohmann::json* root_;
  tokenizer_data data_;
};

/// The id of a token that a configuration names, by a string or by an object with its content.
inline std::optional<token_id> find_named_token(const nlohmann::json& config, const char* key,
                                                const tokenizer_data& data) {
  const auto* named = find_member(config, key);
  if (named == nullptr) return std::nullopt;
  const auto* text = named->is_object() ? find_member(*named, "content") : named;
  if (text == nullptr || !text->is_string()) return std::nullopt;
  const auto found = std::find(data.pieces.begin(), data.pieces.end(), text->get<std::string>());
  if (found == data.pieces.end())
    throw file_error(data.name + ": " + key + " " + text->dump() + " is not in the vocabulary");
  return static_cast<token_id>(found - data.pieces.begin());
}

/// Takes what the files beside a tokenizer say about BOS and EOS, where they are there:
/// `tokenizer_config.json`, `generation_config.json`, `config.json`, in this order.
/// @throws qompose::file_error if one of them cannot be read
inline void read_json_neighbours(const std::filesystem::path& folder, tokenizer_data& data) {
  const auto visit = [&](const char* name, const auto& use) {
    const std::filesystem::path path = folder / name;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) return;
    const nlohmann::json config = read_json(path);
    try {
      use(config);
    } catch (const nlohmann::json::exception& e) {
      throw file_error(path.string() + ": " + e.what());
    }
  };
  visit("tokenizer_config.json", [&](const nlohmann::json& config) {
    if (const auto id = find_named_token(config, "bos_token", data)) data.bos_id = id;
    if (const auto id = find_named_token(config, "eos_token", data)) data.eos_id = id;
    if (const auto* add = find_member(config, "add_bos_token")) data.add_bos = add->get<bool>();
    if (const auto* add = find_member(config, "add_eos_token")) data.add_eos = add->get<bool>();
  });
  const auto use_ids = [&](const nlohmann::json& config) {
    if (const auto* id = find_member(config, "bos_token_id"); id != nullptr && !data.bos_id)
      data.bos_id = id->get<token_id>();
    const auto* ids = find_member(config, "eos_token_id");
    if (ids == nullptr) return;
    if (ids->is_array()) {
      for (const auto& id : *ids) data.end_ids.push_back(id.get<token_id>());
    } else {
      data.end_ids.push_back(ids->get<token_id>());
    }
    if (!data.eos_id && !data.end_ids.empty()) data.eos_id = data.end_ids.back();
  };
  visit("generation_config.json", use_ids);
  visit("config.json", use_ids);
}

/// Reads a `tokenizer.json` whose model is BPE, byte-level or by characters.
///
/// Added tokens are looked for in the text as it stands, even those that the file marks as
/// `normalized`.
/// @param path the file; the configurations in its folder are read as well
/// @throws qompose::file_error naming the part that is missing, broken or not supported
inline tokenizer_data read_tokenizer_json(const std::filesystem::path& path) {
  const nlohmann::json root = read_json(path);
  try {
    tokenizer_data data = json_tokenizer_reader(root, path.string()).read();
    read_json_neighbours(path.parent_path(), data);
    return data;
  } catch (const nlohmann::json::exception& e) {
    throw file_error(path.string() + ": " + e.what());
  }
}

/// Reads GPT-2's pair of files: pieces with their ids, and merges, one on a line.
///
/// The text is cut as GPT-2 does. `<|endoftext|>`, where it is there, is the end of sequence.
/// @param vocab a JSON object
/// @param merges text; a first line that begins with "#version" is skipped
/// @throws qompose::file_error naming the file and what is wrong with it
inline tokenizer_data read_vocab_and_merges(const std::filesystem::path& vocab,
                                            const std::filesystem::path& merges) {
  tokenizer_data data;
  data.name = vocab.string();
  data.order = merge_order::by_rank;
  data.spelling = piece_spelling::byte_level;
  data.pre_tokenizer = {gpt2_split()};
  place_pieces(read_json(vocab), data);

  const mapped_file file(merges);
  std::string_view rest(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  for (bool first = true; !rest.empty(); first = false) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (first && line.starts_with("#version"))) continue;
    data.merges.push_back(split_merge(line, merges.string()));
  }
  for (std::size_t i = 0; i < data.pieces.size(); ++i) {
    if (!ends_generation(data.pieces[i])) continue;
    data.eos_id = static_cast<token_id>(i);
    data.kinds[i] = token_kind::control;
    data.added_tokens.push_back({*data.eos_id, data.pieces[i], true});
  }
  return data;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
