// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Finding special and user-defined tokens in a text.

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "qompose/core/error.hpp"
#include "qompose/io/text_pattern.hpp"
#include "qompose/io/tokenizer_data.hpp"

namespace qompose {

/// Finds added tokens: leftmost first, the longest of those that start there.
class added_token_finder {
 public:
  /// One token in a text.
  struct match {
    text_range range;  ///< bytes of the text that the token takes, stripped space included
    token_id id;       ///< the token
  };

  /// Takes a copy of the tokens; of two with one spelling the first counts.
  explicit added_token_finder(const std::vector<added_token>& tokens) {
    for (const added_token& token : tokens) {
      if (token.text.empty()) continue;
      tokens_.emplace(token.text, token);
      lengths_[front_byte(token.text)].push_back(token.text.size());
    }
    for (std::vector<std::size_t>& lengths : lengths_) {
      std::sort(lengths.begin(), lengths.end(), std::greater<>());
      lengths.erase(std::unique(lengths.begin(), lengths.end()), lengths.end());
    }
  }

  /// The first token that starts at byte `from` or later.
  /// @param text any bytes
  /// @param from where to start; nothing before it is stripped
  /// @param special whether special tokens count
  std::optional<match> find(std::string_view text, std::size_t from, bool special) const {
    if (tokens_.empty()) return std::nullopt;
    std::string key;
    for (std::size_t at = from; at < text.size(); ++at) {
      for (const std::size_t length : lengths_[front_byte(text.substr(at))]) {
        if (length > text.size() - at) continue;
        key.assign(text, at, length);
        const auto found = tokens_.find(key);
        if (found == tokens_.end() || (found->second.special && !special)) continue;
        return match{stripped(found->second, text, from, {at, at + length}), found->second.id};
      }
    }
    return std::nullopt;
  }

 private:
  static std::size_t front_byte(std::string_view text) {
    return static_cast<unsigned char>(text.front());
  }

  static text_range stripped(const added_token& token, std::string_view text, std::size_t from,
                             text_range range) {
    const auto is_space = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
    while (token.strip_left && range.begin > from && is_space(text[range.begin - 1])) --range.begin;
    while (token.strip_right && range.end < text.size() && is_space(text[range.end])) ++range.end;
    return range;
  }

  std::unordered_map<std::string, added_token> tokens_;
  std::array<std::vector<std::size_t>, 256> lengths_;
};

}  // namespace qompose
