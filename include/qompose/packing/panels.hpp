// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The layout in which weights are multiplied: panels of 16 rows, interleaved by column.
///
/// The layout follows from the tensor spec alone, never from the processor. Sixteen rows stand
/// side by side, so that one activation, broadcast, meets sixteen weights in one register and no
/// sum runs across lanes:
///
/// | codes              | unit                | byte (or element) of row r, column k           |
/// |--------------------|---------------------|------------------------------------------------|
/// | integers <= 4 bits | 8 columns, 64 bytes | byte 4 r + k % 4, low nibble for k % 8 < 4     |
/// | other <= 8 bits    | 4 columns, 64 bytes | byte 4 r + k % 4                               |
/// | 16 and 32 bits     | 1 column            | element r                                      |
///
/// Codebooks lie as floats, [panel][group][16 rows][2^bits], or once where the matrix shares one.
/// Groups are padded to a multiple of @ref qompose::panel_step columns with codes of zero. Scales
/// and offsets lie as [panel][group][16 rows].

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// Rows of a panel.
inline constexpr std::size_t panel_rows = 16;
/// Raised whenever bytes of the layout change place, so that a file tells which one it holds.
inline constexpr int panel_layout_version = 1;
/// Columns that kernels take at a time.
inline constexpr std::size_t panel_step = 8;

/// How the codes of a format lie in a panel.
enum class code_width { nibble, byte, half, single };

/// What the kernels know of a tensor spec at compile time.
template <tensor_spec Spec>
struct panel_layout {
  using parts = detail::spec_parts<Spec>;
  using element = typename parts::element;

  static constexpr bool is_integer = integer_format<element>;
  static constexpr bool is_scaled = parts::has_scale;
  static constexpr bool is_learned = parts::has_codebook;
  static constexpr bool is_shared = is_shared_codebook<element>;
  static constexpr bool has_offset = parts::has_zero;

  static constexpr code_width width = element::bits > 16                ? code_width::single
                                      : element::bits > 8               ? code_width::half
                                      : is_integer&& element::bits <= 4 ? code_width::nibble
                                                                        : code_width::byte;
  static_assert(element::bits <= 8 || detail::is_plain_float<element>,
                "qompose: linear: a format wider than 8 bits is not fp16, bf16 or fp32; use one of "
                "these for weights");

  /// Bytes of one panel column.
  static constexpr std::size_t column_bytes = width == code_width::nibble ? 8
                                              : width == code_width::byte ? 16
                                              : width == code_width::half ? 32
                                                                          : 64;

  /// value = field + field_offset, where `field` is what a panel holds for an integer format:
  /// nibbles are unsigned, bytes signed.
  static constexpr int field_offset = [] {
    if constexpr (!is_integer) {
      return 0;
    } else if constexpr (width == code_width::nibble) {
      return element::min_code < 0 ? -8 : 0;
    } else {
      return element::max_code > 127 ? 128 : 0;
    }
  }();

  /// Floats of one codebook: one for every code that the bits can spell.
  static constexpr std::size_t codebook_floats = is_learned ? std::size_t{1} << element::bits : 0;

  /// Format of the scales in a panel: that of the scale slot where it is a plain float, else fp32.
  using scale_format = std::conditional_t<detail::is_plain_float<typename parts::scale_format>,
                                          typename parts::scale_format, fp32>;
  static constexpr bool keeps_tight_scales =
      is_scaled && !detail::is_plain_float<typename parts::scale_format>;

  /// Format of the offsets in a panel: that of the minima where it is a plain float, else fp32.
  using offset_format =
      typename std::conditional_t<has_offset && is_minimum<typename parts::zero_type> &&
                                      detail::is_plain_float<typename parts::zero_type::format>,
                                  typename parts::zero_type, minimum<fp32>>::format;
  static constexpr bool keeps_tight_zeros =
      has_offset && !(is_minimum<typename parts::zero_type> &&
                      detail::is_plain_float<typename parts::zero_type::format>);
};

/// The sizes of a packed matrix, all in elements.
struct panel_geometry {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t panels = 0;        ///< rows / 16, rounded up
  std::size_t groups = 0;        ///< scales a row; 1 where there are none
  std::size_t group_cols = 0;    ///< columns of a group
  std::size_t group_stride = 0;  ///< the same, padded
  std::size_t padded_cols = 0;   ///< columns with padding

  QOMPOSE_INLINE panel_geometry() noexcept = default;
  QOMPOSE_INLINE panel_geometry(std::size_t n_rows, std::size_t n_cols,
                                std::size_t columns_a_group) noexcept
      : rows(n_rows),
        cols(n_cols),
        panels(divide_up(n_rows, panel_rows)),
        groups(divide_up(n_cols, columns_a_group)),
        group_cols(columns_a_group),
        group_stride(round_up(columns_a_group, panel_step)),
        padded_cols(groups == 0
                        ? 0
                        : (groups - 1) * group_stride +
                              round_up(n_cols - (groups - 1) * columns_a_group, panel_step)) {}

  /// Where column c lies once groups are padded.
  [[nodiscard]] QOMPOSE_INLINE std::size_t padded(std::size_t c) const noexcept {
    return c / group_cols * group_stride + c % group_cols;
  }
};

inline namespace QOMPOSE_ISA {

/// The geometry of a [rows, cols] matrix stored as `Spec`.
template <tensor_spec Spec>
[[nodiscard]] panel_geometry geometry_of(std::size_t rows, std::size_t cols) noexcept {
  if constexpr (quant_spec<Spec>) {
    return {rows, cols, Spec::granularity_type::group_cols(cols)};
  } else {
    return {rows, cols, cols};
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
