// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief How the codes of a format lie in panels, whatever the panels hold; see panels.hpp.

#include <cstddef>
#include <type_traits>

#include "qompose/formats/number_format.hpp"
#include "qompose/packing/integer_image.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// Rows of a panel.
inline constexpr std::size_t panel_rows = 16;
/// Columns of the widest unit; every group is padded to at most a multiple of this.
inline constexpr std::size_t widest_panel_step = 32;

/// How the codes of a format lie in a panel.
enum class code_width { planes, byte, half, single };

/// What the kernels know of the codes of a panel at compile time.
/// @tparam Element  a format, fixed or learned
template <class Element>
struct code_layout {
  using element = Element;
  static constexpr bool is_learned = learned_format<element>;
  static constexpr bool is_shared = is_shared_codebook<element>;

  static constexpr code_width width = element::bits > 16  ? code_width::single
                                      : element::bits > 8 ? code_width::half
                                      : element::bits > 6 ? code_width::byte
                                                          : code_width::planes;
  static_assert(element::bits <= 8 || detail::is_plain_float<element>,
                "qompose: linear: a format wider than 8 bits is not fp16, bf16 or fp32; use one of "
                "these for weights");

  /// Columns of a unit, to which groups are padded.
  static constexpr std::size_t step = width != code_width::planes ? 8
                                      : element::bits % 2 == 1    ? 32
                                      : element::bits % 4 == 2    ? 16
                                                                  : 8;
  /// Bytes of one panel column.
  static constexpr std::size_t column_bytes = width == code_width::planes
                                                  ? static_cast<std::size_t>(2 * element::bits)
                                              : width == code_width::byte ? 16
                                              : width == code_width::half ? 32
                                                                          : 64;

  /// code = field + field_offset.
  static constexpr int field_offset = [] {
    if constexpr (element::bits <= 8 && std::is_signed_v<typename element::storage_type>) {
      return -(1 << (element::bits - 1));
    } else {
      return 0;
    }
  }();

  /// Whether the codes stand for small integers that products can take from panels.
  static constexpr bool has_integers =
      integer_image<element>::exists && (integer_image<element>::is_field || element::bits <= 6);

  /// Floats of one codebook: one for every code that the bits can spell.
  static constexpr std::size_t codebook_floats = is_learned ? std::size_t{1} << element::bits : 0;
};

}  // namespace qompose
