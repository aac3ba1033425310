// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Panels that come from a file are held against their format.

#include <algorithm>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/known_codes.hpp"
#include "qompose/packing/packed_bits.hpp"
#include "qompose/packing/panels.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose::detail {
inline namespace QOMPOSE_ISA {

/// Tells which codes of `Kept`, a format of panels, hold a finite value of the format that the spec
/// names, or 0, with which panels are filled up.
template <number_format Stored, number_format Kept = Stored>
class held_codes {
 public:
  using format = Stored;
  using code_type = typename Kept::storage_type;
  held_codes() noexcept {
    held_.set(Kept::encode(0.0f));
    const known_bytes stored = known_bytes_of<Stored>();
    for (std::size_t byte = 0; byte < stored.known.size(); ++byte) {
      const auto code = static_cast<typename Stored::storage_type>(byte);
      if (stored.known[byte]) held_.set(Kept::encode(Stored::decode(code)));
    }
  }
  [[nodiscard]] bool operator()(code_type code) const noexcept { return held_[code]; }

 private:
  static_assert(Stored::bits <= 8 && Kept::bits <= 16 && std::is_unsigned_v<code_type>);
  std::bitset<std::size_t{1} << Kept::bits> held_;
};
template <element_format Format>
class held_codes<Format, Format> {
 public:
  using format = Format;
  using code_type = typename Format::storage_type;
  [[nodiscard]] bool operator()(code_type code) const noexcept {
    return is_known_code<Format>(code);
  }
};

/// Holds the codes of consecutive units of panels against their format.
template <tensor_spec Spec>
class panel_checker {
 public:
  panel_checker(const std::string& what, std::span<const std::byte> panels)
      : what_(what), panels_(panels) {}

  /// Whether every field is a code, as for int4 and int8.
  [[nodiscard]] bool takes_all() const noexcept {
    if constexpr (element::bits <= 8) {
      constexpr bool spells_more = layout::width == code_width::byte && element::bits < 8;
      return codes_.all && !spells_more;
    } else {
      return false;
    }
  }
  /// @param first, last  bytes of whole units
  /// @throws qompose::value_error naming the first byte that is part of no finite value
  void check_units(std::size_t first, std::size_t last) const {
    if constexpr (layout::width == code_width::planes) {
      constexpr std::size_t unit_bytes = layout::step * layout::column_bytes;
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(panels_.data());
      for (std::size_t at = first; at < last; at += unit_bytes) {
        for (std::size_t i = 0; i < layout::step * panel_rows; ++i) {
          const std::size_t k = i / panel_rows;
          const std::size_t lane = i % panel_rows;
          if (!is_field(get_field<element::bits, layout::step>(bytes + at, k, lane))) {
            refuse<element>(at + 4 * lane + k % 4);
          }
        }
      }
    } else if constexpr (layout::width == code_width::byte) {
      for (std::size_t at = first; at < last; ++at) {
        if (!is_field(std::to_integer<int>(panels_[at]))) refuse<element>(at);
      }
    } else {
      // Blocks without an exit are checked many codes at a time.
      constexpr std::size_t block = 4096;
      for (; first < last; first += block) {
        check_codes(first, std::min(last, first + block), held_codes<element>());
      }
    }
  }
  /// The same for numbers that `is_held` knows, one after the other.
  template <class Held>
  void check_codes(std::size_t first, std::size_t last, const Held& is_held) const {
    using code_type = typename Held::code_type;
    const auto is_known = [&](std::size_t at) {
      code_type code;
      std::memcpy(&code, panels_.data() + at, sizeof(code));
      return is_held(code);
    };
    bool known = true;
    for (std::size_t at = first; at < last; at += sizeof(code_type)) known = known & is_known(at);
    for (std::size_t at = first; !known && at < last; at += sizeof(code_type)) {
      if (!is_known(at)) refuse<typename Held::format>(at);
    }
  }

 private:
  using layout = panel_layout<Spec>;
  using element = typename layout::element;

  [[nodiscard]] bool is_field(int field) const noexcept {
    return codes_.known[static_cast<std::uint8_t>(field + layout::field_offset)];
  }
  template <element_format Format>
  [[noreturn]] void refuse(std::size_t at) const {
    throw value_error(what_ + ": byte " + std::to_string(at) + " holds " +
                      std::to_string(std::to_integer<int>(panels_[at])) +
                      ", which is part of no finite value of " + std::string(Format::name));
  }
  static known_bytes known_bytes_of_element() noexcept {
    if constexpr (element::bits <= 8) {
      return known_bytes_of<element>();
    } else {
      return {};
    }
  }

  const std::string& what_;
  std::span<const std::byte> panels_;
  known_bytes codes_ = known_bytes_of_element();
};

/// Throws unless every code of the panels, padding included, and every scale, zero point and
/// minimum in them stands for a finite value.
/// @param rows, cols  of the matrix
/// @throws qompose::value_error naming the first byte that is part of none
/// @par Cost  one pass over the panels; over the scales in them where every field is a code, as for
///            int4 and int8
template <tensor_spec Spec>
void require_known_panels(const std::string& what, std::span<const std::byte> panels,
                          std::size_t rows, std::size_t cols) {
  using layout = panel_layout<Spec>;
  const panel_checker<Spec> checker(what, panels);
  if constexpr (!layout::interleaves) {
    if (!checker.takes_all()) checker.check_units(0, panels.size());
  } else {
    using parts = typename layout::parts;
    using scale_format = typename layout::scale_format;
    using offset_format = typename layout::offset_format;
    const held_codes<std::conditional_t<layout::has_row_scales, typename layout::row_scaled::inner,
                                        scale_format>,
                     scale_format>
        held_scales;
    const held_codes<std::conditional_t<layout::has_zero_points, typename parts::zero_type::format,
                                        offset_format>,
                     offset_format>
        held_offsets;
    const panel_geometry geometry = geometry_of<Spec>(rows, cols);
    const std::size_t panel_bytes = layout::panel_bytes(geometry.padded_cols, geometry.groups);
    for (std::size_t p = 0; p < geometry.panels; ++p) {
      for (std::size_t g = 0; g < geometry.groups; ++g) {
        const std::size_t at = p * panel_bytes;
        const std::size_t scales = at + layout::scales_at(g);
        checker.check_codes(scales, scales + layout::scale_bytes, held_scales);
        if constexpr (layout::has_offset) {
          const std::size_t offsets = at + layout::offsets_at(g);
          checker.check_codes(offsets, offsets + layout::offset_bytes, held_offsets);
        }
        if (checker.takes_all()) continue;
        const std::size_t k = g * geometry.group_stride;
        const std::size_t columns = std::min(geometry.group_stride, geometry.padded_cols - k);
        const std::size_t units = at + layout::column_at(k, g);
        checker.check_units(units, units + columns * layout::column_bytes);
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
