// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Panels that come from a file are held against their format.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/known_codes.hpp"
#include "qompose/packing/packed_bits.hpp"
#include "qompose/packing/panels.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose::detail {
inline namespace QOMPOSE_ISA {

/// Which bytes a panel may hold: one code, or two integers of at most 4 bits.
template <tensor_spec Spec>
[[nodiscard]] known_bytes known_panel_bytes() noexcept {
  using layout = panel_layout<Spec>;
  using element = typename layout::element;
  const known_bytes codes = known_bytes_of<element>();
  const auto nibble = [&](std::size_t field) {
    return codes.known[static_cast<std::uint8_t>(static_cast<int>(field) + layout::field_offset)];
  };
  known_bytes result;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if constexpr (layout::width == code_width::nibble) {
      result.known[byte] = nibble(byte & 15) && nibble(byte >> 4);
    } else {
      result.known[byte] = codes.known[layout::field_offset != 0 ? byte ^ 0x80 : byte];
    }
    result.all = result.all && result.known[byte];
  }
  return result;
}

/// Throws unless every code of the panels, padding included, stands for a finite value.
/// @throws qompose::value_error naming the first byte that is part of none
/// @par Cost  one pass over the panels; none where every byte is a code, as for int4 and int8
template <tensor_spec Spec>
void require_known_panels(const std::string& what, std::span<const std::byte> panels) {
  using element = typename panel_layout<Spec>::element;
  const auto refuse = [&](std::size_t at) {
    throw value_error(what + ": byte " + std::to_string(at) + " holds " +
                      std::to_string(std::to_integer<int>(panels[at])) +
                      ", which is part of no finite value of " + std::string(element::name));
  };
  if constexpr (element::bits <= 8) {
    const known_bytes bytes = known_panel_bytes<Spec>();
    if (bytes.all) return;
    for (std::size_t i = 0; i < panels.size(); ++i) {
      if (!bytes.known[std::to_integer<std::uint8_t>(panels[i])]) refuse(i);
    }
  } else {
    using code_type = typename element::storage_type;
    const auto is_known = [&](std::size_t at) {
      code_type code;
      std::memcpy(&code, panels.data() + at, sizeof(code));
      return is_known_code<element>(code);
    };
    // Blocks without an exit are checked many codes at a time.
    constexpr std::size_t block = 4096;
    for (std::size_t first = 0; first < panels.size(); first += block) {
      const std::size_t last = panels.size() - first < block ? panels.size() : first + block;
      bool known = true;
      for (std::size_t i = first; i < last; i += sizeof(code_type)) known = known & is_known(i);
      if (known) continue;
      for (std::size_t i = first; i < last; i += sizeof(code_type)) {
        if (!is_known(i)) refuse(i);
      }
    }
  }
}

/// Throws unless the bits past the last column of a @ref qompose::packed_bits are 0.
/// @throws qompose::value_error naming the first word that has others
inline void require_clear_tails(const std::string& what, std::span<const std::byte> panels,
                                std::size_t cols) {
  const std::size_t used = cols % word_columns;
  if (used == 0) return;
  const std::size_t panel = packed_bits::panel_bytes(cols);
  constexpr std::size_t last_words = panel_rows * sizeof(std::uint64_t);
  for (std::size_t end = panel; end <= panels.size(); end += panel) {
    for (std::size_t at = end - last_words; at < end; at += sizeof(std::uint64_t)) {
      std::uint64_t word;
      std::memcpy(&word, panels.data() + at, sizeof(word));
      if (word >> used != 0) {
        throw value_error(what + ": the word at byte " + std::to_string(at) +
                          " has bits past the last of " + std::to_string(cols) +
                          " columns, expected zeros");
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
