// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief UTF-8, one character at a time, tolerant of bytes that are not UTF-8.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "qompose/core/config.hpp"

namespace qompose {

/// The character that opens a text: its length in bytes and its code point.
struct utf8_character {
  std::size_t size = 0;     ///< 1..4 bytes; 0 where the text is empty or its front is not UTF-8
  char32_t code_point = 0;  ///< Unicode scalar value; 0 where `size` is 0
};

inline namespace QOMPOSE_ISA {

/// Reads the first character of a text.
///
/// Overlong forms, surrogates and values past U+10FFFF are not UTF-8 (RFC 3629).
/// @param text any bytes
/// @return the character, of size 0 if there is none
constexpr utf8_character front_character(std::string_view text) noexcept {
  if (text.empty()) return {};
  const auto byte = [text](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  if (lead < 0x80) return {1, lead};

  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
  char32_t value = lead & (0x7fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    value = (value << 6) | (byte(i) & 0x3fu);
  }
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xd800 && value < 0xe000;
  if (value < smallest[size] || surrogate || value > 0x10ffff) return {};
  return {size, value};
}

/// Appends one code point in UTF-8.
/// @param code_point a Unicode scalar value
/// @param text receives 1 to 4 bytes
inline void append_utf8(char32_t code_point, std::string& text) {
  const auto put = [&text](char32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xc0 | (code_point >> 6));
  } else {
    if (code_point < 0x10000) {
      put(0xe0 | (code_point >> 12));
    } else {
      put(0xf0 | (code_point >> 18));
      put(0x80 | ((code_point >> 12) & 0x3f));
    }
    put(0x80 | ((code_point >> 6) & 0x3f));
  }
  put(0x80 | (code_point & 0x3f));
}

/// Cuts a text into the longest runs of UTF-8 and the single bytes between them.
/// @param text any bytes
/// @param visit called as `visit(std::string_view run, bool is_utf8)`, in order; a run that is not
///   UTF-8 is one byte
template <class Visitor>
void for_each_utf8_run(std::string_view text, Visitor&& visit) {
  std::size_t begin = 0;
  std::size_t end = 0;
  while (end < text.size()) {
    const std::size_t size = front_character(text.substr(end)).size;
    if (size != 0) {
      end += size;
      continue;
    }
    if (begin != end) visit(text.substr(begin, end - begin), true);
    visit(text.substr(end, 1), false);
    begin = ++end;
  }
  if (begin != end) visit(text.substr(begin), true);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
