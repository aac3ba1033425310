// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The tokenizer in the metadata of a GGUF file.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/gguf.hpp"
#include "qompose/io/tokenizer_data.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// Fills in a tokenizer from the entries `tokenizer.ggml.*`.
class gguf_tokenizer_reader {
 public:
  /// @param metadata must outlive this
  explicit gguf_tokenizer_reader(const gguf_metadata& metadata) : metadata_(&metadata) {}

  /// See @ref read_gguf_tokenizer.
  tokenizer_data read() {
    data_.name = "tokenizer.ggml";
    data_.pieces = need("tokens").strings();
    read_kinds();
    data_.bos_id = find_id("bos_token_id");
    data_.eos_id = find_id("eos_token_id");
    const std::string& model = need("model").as_string();
    if (model == "llama") {
      read_sentencepiece();
    } else if (model == "gpt2") {
      read_byte_level();
    } else {
      throw file_error("tokenizer.ggml.model: \"" + model +
                       "\" is not supported, expected llama or gpt2");
    }
    data_.add_eos = flag("add_eos_token", false);
    collect_markers();
    return std::move(data_);
  }

 private:
  const gguf_value* find(const std::string& key) const {
    const auto found = metadata_->find("tokenizer.ggml." + key);
    return found == metadata_->end() ? nullptr : &found->second;
  }

  const gguf_value& need(const std::string& key) const {
    const gguf_value* const value = find(key);
    if (value == nullptr) throw file_error("tokenizer.ggml." + key + ": is missing");
    return *value;
  }

  bool flag(const std::string& key, bool otherwise) const {
    const gguf_value* const value = find(key);
    return value == nullptr ? otherwise : value->as_bool();
  }

  std::optional<token_id> find_id(const std::string& key) const {
    const gguf_value* const value = find(key);
    if (value == nullptr) return std::nullopt;
    if (value->as_uint() >= data_.pieces.size())
      throw file_error("tokenizer.ggml." + key + ": " + std::to_string(value->as_uint()) +
                       ", expected less than " + std::to_string(data_.pieces.size()));
    return static_cast<token_id>(value->as_uint());
  }

  /// As llama.cpp: a "llama" vocabulary that does not number a token has it at a usual place.
  std::optional<token_id> find_id_or(const std::string& key, token_id usual) const {
    const auto id = find_id(key);
    return id || data_.pieces.size() <= static_cast<std::size_t>(usual) ? id : usual;
  }

  void read_kinds() {
    const std::size_t n = data_.pieces.size();
    data_.kinds.assign(n, token_kind::normal);
    const gguf_value* const types = find("token_type");
    if (types == nullptr) return;
    const auto numbers = types->integers();
    if (numbers.size() != n)
      throw file_error("tokenizer.ggml.token_type: " + std::to_string(numbers.size()) +
                       " entries, expected " + std::to_string(n));
    for (std::size_t i = 0; i < n; ++i) {
      if (numbers[i] < 1 || numbers[i] > 6)
        throw file_error("tokenizer.ggml.token_type: " + std::to_string(numbers[i]) +
                         " for token " + std::to_string(i) + ", expected 1 to 6");
      data_.kinds[i] = static_cast<token_kind>(numbers[i]);
    }
  }

  void read_sentencepiece() {
    data_.order = merge_order::by_score;
    data_.spelling = piece_spelling::metaspace;
    for (const double score : need("scores").doubles())
      data_.scores.push_back(static_cast<float>(score));
    data_.unknown_id = find_id_or("unknown_token_id", 0);
    data_.bos_id = find_id_or("bos_token_id", 1);
    data_.eos_id = find_id_or("eos_token_id", 2);
    data_.byte_fallback = true;
    data_.fuse_unknown = true;
    data_.add_bos = flag("add_bos_token", true);
    data_.strip_first_space = flag("add_space_prefix", true);
    if (data_.strip_first_space) data_.normalizer.push_back(prepend_text{" "});
    data_.normalizer.push_back(replace_text{" ", metaspace});

    if (find("token_type") != nullptr) return;
    for (std::size_t i = 0; i < data_.pieces.size(); ++i)
      if (spelled_byte(data_.pieces[i])) data_.kinds[i] = token_kind::byte;
    for (const auto id : {data_.bos_id, data_.eos_id})
      if (id) data_.kinds[static_cast<std::size_t>(*id)] = token_kind::control;
  }

  void read_byte_level() {
    data_.order = merge_order::by_rank;
    data_.spelling = piece_spelling::byte_level;
    for (const std::string& line : need("merges").strings())
      data_.merges.push_back(split_merge(line, "tokenizer.ggml.merges"));
    // Some files name their end-of-text token here. A byte without a piece is better dropped than
    // taken for an end of text, which the model would act on.
    const auto unknown = find_id("unknown_token_id");
    if (unknown && data_.kinds[static_cast<std::size_t>(*unknown)] == token_kind::unknown)
      data_.unknown_id = unknown;

    const gguf_value* const named = find("pre");
    const std::string pre = named == nullptr ? "default" : named->as_string();
    auto steps = find_pre_tokenizer(pre);
    if (!steps)
      throw file_error("tokenizer.ggml.pre: \"" + pre +
                       "\" is not supported, expected gpt-2, llama-bpe, qwen2 or smollm");
    data_.pre_tokenizer = *std::move(steps);
    const bool llama3 = pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3";
    data_.ignore_merges = llama3;
    data_.add_bos = flag("add_bos_token", llama3);
    if (pre == "qwen2" || pre == "deepseek-r1-qwen") data_.normalizer = {unicode_form::nfc};
  }

  void collect_markers() {
    for (const char* const key : {"eot_token_id", "eom_token_id"})
      if (const auto id = find_id(key)) data_.end_ids.push_back(*id);
    for (std::size_t i = 0; i < data_.pieces.size(); ++i) {
      const std::string& piece = data_.pieces[i];
      const token_kind kind = data_.kinds[i];
      const auto id = static_cast<token_id>(i);
      const bool special = kind == token_kind::control || kind == token_kind::unknown;
      if (special || kind == token_kind::user_defined)
        data_.added_tokens.push_back({id, piece, special});
      if (kind == token_kind::control && ends_generation(piece)) data_.end_ids.push_back(id);
    }
  }

  const gguf_metadata* metadata_;
  tokenizer_data data_;
};

/// Reads the tokenizer of a GGUF file.
///
/// Two kinds are read. "llama" is BPE by score: BOS (default 1) is added and a space put first
/// unless the file says otherwise. "gpt2" is byte-level BPE by rank, cut by the pre-tokenizer
/// that `tokenizer.ggml.pre` names (without that key: GPT-2's); BOS is added if the file says so,
/// or by default for Llama-3's pre-tokenizer, which also takes whole words before merges. Texts
/// for "qwen2" are brought to NFC first, as that model's own tokenizer does.
/// @param metadata of a GGUF file
/// @throws qompose::file_error naming the key that is missing, of a wrong kind, inconsistent, or
///   has a value that is not supported
inline tokenizer_data read_gguf_tokenizer(const gguf_metadata& metadata) {
  return gguf_tokenizer_reader(metadata).read();
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
