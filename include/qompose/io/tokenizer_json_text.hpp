// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The parts of a `tokenizer.json` that say how text becomes words, and pieces text.

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/json_text.hpp"
#include "qompose/io/pre_tokenizer.hpp"
#include "qompose/io/text_normalizer.hpp"
#include "qompose/io/tokenizer_data.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// Puts the pieces of an object {piece: id} at their ids; ids that are left out are unused.
/// @throws qompose::file_error naming a piece whose id is taken, negative or far too large
inline void place_pieces(const nlohmann::json& vocab, tokenizer_data& data) {
  if (!vocab.is_object() || vocab.empty())
    throw file_error(data.name + ": expected an object of pieces and ids");
  // Files leave few ids out. The bound keeps a wrong id from asking for gigabytes.
  const std::size_t bound = 2 * vocab.size() + 1024;
  data.pieces.reserve(vocab.size());
  for (const auto& [piece, number] : vocab.items()) {
    if (!number.is_number_unsigned() || number.get<std::uint64_t>() >= bound)
      throw file_error(data.name + ": id of piece \"" + piece + "\" is " +
                       number.dump().substr(0, 40) + ", expected 0 to " +
                       std::to_string(bound - 1));
    const auto id = number.get<std::size_t>();
    if (id >= data.pieces.size()) {
      data.pieces.resize(id + 1);
      data.kinds.resize(id + 1, token_kind::unused);
    }
    if (data.kinds[id] != token_kind::unused)
      throw file_error(data.name + ": id " + std::to_string(id) + " has two pieces, \"" +
                       data.pieces[id] + "\" and \"" + piece + "\"");
    data.pieces[id] = piece;
    data.kinds[id] = token_kind::normal;
  }
}

/// Puts an added token at its id, past the vocabulary or onto the piece of the same spelling.
/// @return the id
/// @throws qompose::file_error if the id is far too large, or that of another piece
inline token_id place_added_token(std::uint64_t id, const added_token& token,
                                  tokenizer_data& data) {
  const std::size_t bound = 2 * data.pieces.size() + 1024;
  if (id >= bound)
    throw file_error(data.name + ": added token " + token.text + ": id " + std::to_string(id) +
                     ", expected less than " + std::to_string(bound));
  const auto index = static_cast<std::size_t>(id);
  if (index >= data.pieces.size()) {
    data.pieces.resize(index + 1);
    data.kinds.resize(index + 1, token_kind::unused);
  }
  token_kind& kind = data.kinds[index];
  if (kind != token_kind::unused && data.pieces[index] != token.text)
    throw file_error(data.name + ": added token " + token.text + ": id " + std::to_string(id) +
                     " is that of piece \"" + data.pieces[index] + "\"");
  data.pieces[index] = token.text;
  if (kind != token_kind::unknown)
    kind = token.special ? token_kind::control : token_kind::user_defined;
  return static_cast<token_id>(id);
}

/// The members of a `Sequence`, or the part alone. A Sequence inside a Sequence is refused, so
/// that no file can nest deeply.
/// @param part an object with a `type`
/// @param members name of the array in a Sequence
/// @param use called with each type and part
template <class Use>
void for_each_json_part(const nlohmann::json& part, const char* members, const Use& use) {
  const std::string type = part.at("type").get<std::string>();
  if (type != "Sequence") return use(type, part);
  for (const auto& member : part.at(members)) use(member.at("type").get<std::string>(), member);
}

/// A string of a file that texts will be rewritten with; bounded, since a text can have one per
/// character.
inline std::string short_json_string(const nlohmann::json& value, const tokenizer_data& data) {
  const auto& text = value.get_ref<const std::string&>();
  if (text.size() > 256)
    throw file_error(data.name + ": a replacement of " + std::to_string(text.size()) +
                     " bytes, expected at most 256");
  return text;
}

/// Reads a pattern: a string to be taken as it is, or a regular expression.
inline text_pattern json_pattern(const nlohmann::json& pattern, const tokenizer_data& data) {
  if (const auto* literal = find_member(pattern, "String")) {
    if (literal->get_ref<const std::string&>().empty())
      throw file_error(data.name + ": a pattern is empty");
    return text_pattern(literal->get<std::string>(), text_pattern::syntax::literal);
  }
  return text_pattern(pattern.at("Regex").get<std::string>());
}

/// A replacement of one string by another.
inline replace_text json_replacement(const nlohmann::json& part, const tokenizer_data& data) {
  const auto* from = find_member(part.at("pattern"), "String");
  if (from == nullptr) throw file_error(data.name + ": Replace: only a String is supported");
  replace_text step{short_json_string(*from, data), short_json_string(part.at("content"), data)};
  if (step.from.empty()) throw file_error(data.name + ": Replace: the pattern is empty");
  return step;
}

/// Reads the normalizer: NFC, NFD, NFKC, NFKD, Prepend, Replace of a string, and Sequences.
/// @throws qompose::file_error naming any other
inline void read_json_normalizer(const nlohmann::json& part, tokenizer_data& data) {
  for_each_json_part(part, "normalizers", [&](const std::string& type, const nlohmann::json& step) {
    auto& steps = data.normalizer;
    if (type == "NFC") {
      steps.push_back(unicode_form::nfc);
    } else if (type == "NFD") {
      steps.push_back(unicode_form::nfd);
    } else if (type == "NFKC") {
      steps.push_back(unicode_form::nfkc);
    } else if (type == "NFKD") {
      steps.push_back(unicode_form::nfkd);
    } else if (type == "Prepend") {
      steps.push_back(prepend_text{short_json_string(step.at("prepend"), data)});
    } else if (type == "Replace") {
      steps.push_back(json_replacement(step, data));
    } else {
      throw file_error(data.name + ": normalizer of type " + type + " is not supported");
    }
  });
}

/// What a Split does with its matches.
inline split_behavior json_behavior(const std::string& name, const tokenizer_data& data) {
  if (name == "Removed") return split_behavior::removed;
  if (name == "Isolated") return split_behavior::isolated;
  if (name == "MergedWithPrevious") return split_behavior::merged_with_previous;
  if (name == "MergedWithNext") return split_behavior::merged_with_next;
  if (name == "Contiguous") return split_behavior::contiguous;
  throw file_error(data.name + ": Split: behavior " + name + " is not supported");
}

/// When a Metaspace puts its character first; older files say it with a flag.
inline std::string metaspace_scheme(const nlohmann::json& part) {
  if (const auto* scheme = find_member(part, "prepend_scheme")) return scheme->get<std::string>();
  return part.value("add_prefix_space", true) ? "always" : "never";
}

/// Refuses a Metaspace that uses any other character.
inline void check_metaspace(const nlohmann::json& part, const tokenizer_data& data) {
  if (part.value("replacement", metaspace) != metaspace)
    throw file_error(data.name + ": Metaspace: the replacement is not U+2581");
}

/// Adds what a Metaspace pre-tokenizer does: spaces become U+2581, one may come first, and words
/// are cut before it.
inline void read_json_metaspace(const nlohmann::json& part, tokenizer_data& data) {
  check_metaspace(part, data);
  const std::string scheme = metaspace_scheme(part);
  if (scheme != "always" && scheme != "first" && scheme != "never")
    throw file_error(data.name + ": Metaspace: prepend_scheme " + scheme + " is not supported");
  data.normalizer.push_back(replace_text{" ", metaspace});
  if (scheme != "never")
    data.normalizer.push_back(prepend_text{metaspace, true, scheme == "first"});
  if (part.value("split", true))
    data.pre_tokenizer.push_back(
        {text_pattern(metaspace, text_pattern::syntax::literal), split_behavior::merged_with_next});
}

/// Reads the pre-tokenizer: ByteLevel, Split, Digits, Metaspace, and Sequences of them.
///
/// ByteLevel must come last, since its pieces spell bytes; a prefix space or a Metaspace must
/// come first, since they change the text that the others cut.
/// @throws qompose::file_error naming any other, or any other order
inline void read_json_pre_tokenizer(const nlohmann::json& part, tokenizer_data& data) {
  const auto check = [&](bool sound, const std::string& type) {
    if (!sound)
      throw file_error(data.name + ": pre_tokenizer: " + type + " is not supported at this place");
  };
  const auto use = [&](const std::string& type, const nlohmann::json& step) {
    check(data.spelling != piece_spelling::byte_level, type + " after ByteLevel");
    auto& steps = data.pre_tokenizer;
    if (type == "ByteLevel") {
      if (step.value("add_prefix_space", true)) {
        check(steps.empty(), "ByteLevel with add_prefix_space");
        data.normalizer.push_back(prepend_text{" ", true});
      }
      if (step.value("use_regex", true)) steps.push_back(gpt2_split());
      data.spelling = piece_spelling::byte_level;
    } else if (type == "Split") {
      steps.push_back({json_pattern(step.at("pattern"), data),
                       json_behavior(step.at("behavior").get<std::string>(), data),
                       step.value("invert", false)});
    } else if (type == "Digits") {
      steps.push_back(digits_split(step.value("individual_digits", false)));
    } else if (type == "Metaspace") {
      check(steps.empty(), "Metaspace");
      read_json_metaspace(step, data);
    } else {
      throw file_error(data.name + ": pre_tokenizer of type " + type + " is not supported");
    }
  };
  for_each_json_part(part, "pretokenizers", use);
}

/// Reads the decoder: ByteLevel, Metaspace, Replace of U+2581 by a space, ByteFallback, Fuse,
/// Strip of one space, and Sequences of them.
/// @throws qompose::file_error naming any other
inline void read_json_decoder(const nlohmann::json& part, tokenizer_data& data) {
  const bool byte_level = data.spelling == piece_spelling::byte_level;
  const auto check = [&](bool sound, const std::string& type) {
    if (!sound) throw file_error(data.name + ": decoder: this " + type + " is not supported");
  };
  for_each_json_part(part, "decoders", [&](const std::string& type, const nlohmann::json& step) {
    if (type == "ByteLevel") {
      check(byte_level, "ByteLevel without a ByteLevel pre-tokenizer");
    } else if (type == "Metaspace") {
      check(!byte_level, type);
      check_metaspace(step, data);
      data.spelling = piece_spelling::metaspace;
      data.strip_first_space = metaspace_scheme(step) != "never";
    } else if (type == "Replace") {
      const replace_text replace = json_replacement(step, data);
      check(!byte_level && replace.from == metaspace && replace.to == " ", type);
      data.spelling = piece_spelling::metaspace;
    } else if (type == "Strip") {
      check(step.at("content") == " " && step.at("start") == 1 && step.at("stop") == 0, type);
      data.strip_first_space = true;
    } else {
      check(type == "ByteFallback" || type == "Fuse", type);
    }
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
