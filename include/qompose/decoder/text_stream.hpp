// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Pieces of text to whole characters, for showing text while it is made.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace qompose {

/// Holds back the bytes of a UTF-8 character until it is complete: a token may end inside one.
///
/// Bytes that can never become a character are let through as they are.
class text_stream {
 public:
  /// Takes the bytes of the next token.
  /// @return what can be shown now; valid until the next call
  std::string_view push(std::string_view bytes) {
    pending_.erase(0, shown_);
    pending_ += bytes;
    shown_ = pending_.size() - incomplete_bytes(pending_);
    return std::string_view(pending_).substr(0, shown_);
  }

  /// The bytes still held back when nothing more comes: part of a character, or nothing.
  std::string_view finish() {
    pending_.erase(0, shown_);
    shown_ = pending_.size();
    return pending_;
  }

 private:
  /// How many bytes at the end start a character that is not there in full.
  static std::size_t incomplete_bytes(std::string_view text) {
    constexpr std::size_t longest = 4;
    const std::size_t most = std::min(text.size(), longest - 1);
    for (std::size_t n = 1; n <= most; ++n) {
      const auto byte = static_cast<std::uint8_t>(text[text.size() - n]);
      if ((byte & 0xc0u) == 0x80u) continue;  // the middle of a character: look further left
      const std::size_t needed = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc2 ? 2 : 1;
      return byte <= 0xf4 && needed > n ? n : 0;
    }
    return 0;
  }

  std::string pending_;
  std::size_t shown_ = 0;  // bytes at the front of pending_ that the caller has
};

}  // namespace qompose
