// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The printable alphabet in which byte-level BPE files spell bytes.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/io/utf8.hpp"

namespace qompose {

/// One printable character for each of the 256 bytes, and back.
///
/// Bytes that Latin-1 prints visibly stand for themselves; the other 68 are numbered from U+0100
/// on, in order. So a space is U+0120 and a line feed U+010A.
///
/// @par Source Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, and
///   its published encoder
class byte_level_alphabet {
 public:
  /// Builds both tables.
  QOMPOSE_INLINE constexpr byte_level_alphabet() {
    char32_t next = 0x100;
    for (char32_t byte = 0; byte < 256; ++byte) {
      const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte != 0xad);
      characters_[byte] = printable ? byte : next++;
      bytes_[characters_[byte]] = static_cast<std::int16_t>(byte);
    }
  }

  /// The character that spells a byte.
  QOMPOSE_INLINE constexpr char32_t character(std::uint8_t byte) const noexcept {
    return characters_[byte];
  }

  /// The byte that a character spells; empty for a character outside the alphabet.
  QOMPOSE_INLINE constexpr std::optional<std::uint8_t> byte(char32_t character) const noexcept {
    if (character >= bytes_.size() || bytes_[character] < 0) return std::nullopt;
    return static_cast<std::uint8_t>(bytes_[character]);
  }

 private:
  static constexpr std::size_t n_characters = 256 + 68;

  std::array<char32_t, 256> characters_{};
  std::array<std::int16_t, n_characters> bytes_ = [] {
    std::array<std::int16_t, n_characters> none{};
    for (auto& entry : none) entry = -1;
    return none;
  }();
};

/// The alphabet, built at compile time.
inline constexpr byte_level_alphabet byte_alphabet{};

inline namespace QOMPOSE_ISA {

/// Spells bytes in the alphabet.
inline std::string spell_bytes(std::string_view bytes) {
  std::string spelled;
  for (const char byte : bytes)
    append_utf8(byte_alphabet.character(static_cast<std::uint8_t>(byte)), spelled);
  return spelled;
}

/// Bytes that a spelled piece stands for; a piece with any character outside the alphabet stands
/// for itself.
inline std::string unspell_bytes(std::string_view spelled) {
  std::string bytes;
  for (std::size_t i = 0; i < spelled.size();) {
    const utf8_character character = front_character(spelled.substr(i));
    const auto byte = byte_alphabet.byte(character.code_point);
    if (character.size == 0 || !byte) return std::string(spelled);
    bytes.push_back(static_cast<char>(*byte));
    i += character.size;
  }
  return bytes;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
