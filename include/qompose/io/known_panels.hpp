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

/// Throws unless every code of the panels, padding included, stands for a finite value.
/// @throws qompose::value_error naming the first byte that is part of none
/// @par Cost  one pass over the panels; none where every field is a code, as for int4 and int8
template <tensor_spec Spec>
void require_known_panels(const std::string& what, std::span<const std::byte> panels) {
  using element = typename panel_layout<Spec>::element;
  const auto refuse = [&](std::size_t at) {
    throw value_error(what + ": byte " + std::to_string(at) + " holds " +
                      std::to_string(std::to_integer<int>(panels[at])) +
                      ", which is part of no finite value of " + std::string(element::name));
  };
  using layout = panel_layout<Spec>;
  if constexpr (element::bits <= 8) {
    const known_bytes codes = known_bytes_of<element>();
    constexpr bool spells_more = layout::width == code_width::byte && element::bits < 8;
    if (codes.all && !spells_more) return;
    const auto is_known = [&](int field) {
      return codes.known[static_cast<std::uint8_t>(field + layout::field_offset)];
    };
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(panels.data());
    if constexpr (layout::width == code_width::planes) {
      // Panels are whole units, one after the other.
      constexpr std::size_t unit_bytes = layout::step * layout::column_bytes;
      for (std::size_t at = 0; at < panels.size(); at += unit_bytes) {
        for (std::size_t i = 0; i < layout::step * panel_rows; ++i) {
          const std::size_t k = i / panel_rows;
          const std::size_t lane = i % panel_rows;
          if (!is_known(get_field<element::bits, layout::step>(bytes + at, k, lane))) {
            refuse(at + 4 * lane + k % 4);
          }
        }
      }
    } else {
      for (std::size_t i = 0; i < panels.size(); ++i) {
        if (!is_known(bytes[i])) refuse(i);
      }
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
