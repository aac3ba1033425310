// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The layout in which weights are multiplied: panels of 16 rows, interleaved by column.
///
/// The layout follows from the tensor spec alone, never from the processor. Sixteen rows stand
/// side by side, so that one activation, broadcast, meets sixteen weights in one register and no
/// sum runs across lanes. A panel holds one *field* for each code, code - min_code for signed codes
/// and the code itself otherwise:
///
/// | codes              | unit                  | where column k of row r lies |
/// |--------------------|-----------------------|---------------------------------------------------|
/// | 7 or 8 bits        | 4 columns, 64 bytes   | byte 4 r + k % 4 | | 6 bits or less     | planes,
/// see below     | bits of byte 4 r + k % 4 of a block of each plane | | 16 and 32 bits     | 1
/// column              | element r                                         |
///
/// Fields of at most 6 bits are cut into planes of 4, 2 and 1 bits, lowest bits first: 6 bits are a
/// plane of 4 and one of 2. A plane of w bits lies in blocks of 64 bytes for 32 / w columns, of
/// which column k takes bits [k / 4 * w, k / 4 * w + w). A unit is as many columns as the narrowest
/// plane needs for one block (8, 16 or 32), its planes one after the other.
///
/// Groups are padded to whole units; the activations that meet padding are zero. The scales of
/// groups within rows, and their minima or zero points, stand in the panel before their codes, so
/// that a product reads one stream of memory: blocks of four groups (of one where its scales and
/// minima fill multiples of 64 bytes) are [groups][16 rows] scales, [groups][16 rows] minima or
/// zero points, and then the groups' units. Scales of two levels of which a row shares the outer
/// one stand there without that level, as fp16 or, where they are integers, as bytes; so do zero
/// points.
///
/// Other scales and minima lie beside the panels as [panel][group][16 rows], scales that rows share
/// as [panel][16 rows]; codebooks as floats, [panel][group][16 rows][2^bits], or once where the
/// matrix shares one.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/e8m0.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/packing/code_layout.hpp"
#include "qompose/packing/integer_image.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// Raised whenever bytes of the layout change place, so that a file tells which one it holds.
inline constexpr int panel_layout_version = 4;

namespace detail {

/// Unsigned integers of at most 8 bits.
template <class Format>
inline constexpr bool is_small_unsigned = [] {
  if constexpr (integer_format<Format>) return Format::min_code == 0 && Format::bits <= 8;
  return false;
}();

/// Whether every finite value of a format is one of fp16.
template <class Format>
inline constexpr bool fits_fp16 = [] {
  if constexpr (number_format<Format>) {
    if constexpr (Format::bits <= 8 && !integer_format<Format>) {
      for (int code = 0; code < 1 << Format::bits; ++code) {
        const float value = Format::decode(static_cast<typename Format::storage_type>(code));
        const bool is_finite = value >= -3e38f && value <= 3e38f;
        if (is_finite && fp16::decode(fp16::encode(value)) != value) return false;
      }
      return true;
    }
  }
  return false;
}();

/// Scales that are an inner number times a float that a row or the tensor shares, such as those of
/// `nvfp4` and of `progressive`.
template <class ScaleFormat>
struct row_scaled {
  static constexpr bool exists = false;
  static constexpr bool is_integer = false;
  using inner = void;
  using kept = fp32;
};
template <quant_spec ScaleFormat>
struct row_scaled<ScaleFormat> {
  using inner = typename ScaleFormat::element;
  using outer = typename ScaleFormat::scale_type::format;
  static constexpr bool is_integer = is_small_unsigned<inner>;
  static constexpr bool shares_rows =
      ScaleFormat::granularity_type::group_cols(1 << 20) == 1 << 20 &&
      ScaleFormat::granularity_type::group_rows(1) == 1;
  static constexpr bool exists = shares_rows && is_plain_float<outer> &&
                                 std::is_same_v<typename ScaleFormat::zero_type, no_zero> &&
                                 (is_integer || fits_fp16<inner>);
  /// How a panel holds inner scales.
  using kept = std::conditional_t<is_integer, uint8, fp16>;
};

}  // namespace detail

/// What the kernels know of a tensor spec at compile time.
template <tensor_spec Spec>
struct panel_layout : code_layout<typename detail::spec_parts<Spec>::element> {
  using codes = code_layout<typename detail::spec_parts<Spec>::element>;
  using codes::column_bytes;
  using codes::is_learned;
  using codes::step;
  using typename codes::element;
  using parts = detail::spec_parts<Spec>;

  static constexpr bool is_scaled = parts::has_scale;
  static constexpr bool has_offset = parts::has_zero;

  /// Scales in two levels, of which a row shares the outer one: panels hold the inner ones as they
  /// are and a float a row, so that the outer level costs the products nothing.
  using row_scaled = detail::row_scaled<typename parts::scale_format>;
  static constexpr bool has_integer_offset =
      is_zero_point<typename parts::zero_type> &&
      detail::is_small_unsigned<typename parts::zero_type::format>;
  static constexpr bool has_row_scales =
      row_scaled::exists && (!has_offset || (row_scaled::is_integer && has_integer_offset));
  /// Whether a row's sum over all groups can stay an integer: inner scales are integers, and what
  /// they make of the codes is small enough for exact_columns columns.
  static constexpr bool has_integer_scales = [] {
    if constexpr (has_row_scales && row_scaled::is_integer && integer_image<element>::exists) {
      constexpr int largest = integer_image<element>::most_raised + integer_image<element>::lowest;
      constexpr int magnitude = std::max(largest, -integer_image<element>::lowest);
      constexpr int product = detail::has_image<typename Spec::scale_type>
                                  ? 127
                                  : magnitude * row_scaled::inner::max_code;
      return product <= 511;
    } else {
      return false;
    }
  }();
  static constexpr std::size_t exact_columns = std::size_t{1} << 15;

  /// Format of the scales in a panel: that of the scale slot where it is a plain float or e8m0, the
  /// inner scales' own where a row shares the outer one, else fp32.
  using scale_format =
      std::conditional_t<has_row_scales, typename row_scaled::kept,
                         std::conditional_t<detail::is_plain_float<typename parts::scale_format> ||
                                                std::is_same_v<typename parts::scale_format, e8m0>,
                                            typename parts::scale_format, fp32>>;
  static constexpr bool keeps_tight_scales =
      is_scaled && !has_row_scales && !std::is_same_v<scale_format, typename parts::scale_format>;

  /// Whether a panel holds zero points as they are rather than -scale * zero_point.
  static constexpr bool has_zero_points = has_integer_offset && !keeps_tight_scales;
  /// Format of the offsets in a panel: uint8 for zero points, that of the minima where it is a
  /// plain float, else fp32.
  using offset_format = std::conditional_t<
      has_zero_points, uint8,
      typename std::conditional_t<has_offset && is_minimum<typename parts::zero_type> &&
                                      detail::is_plain_float<typename parts::zero_type::format>,
                                  typename parts::zero_type, minimum<fp32>>::format>;
  static constexpr bool keeps_tight_zeros =
      has_offset && !has_zero_points &&
      !(is_minimum<typename parts::zero_type> &&
        detail::is_plain_float<typename parts::zero_type::format>);

  /// Columns of a group of rows without end.
  static constexpr std::size_t most_group_columns = [] {
    constexpr std::size_t whole = std::size_t{1} << 30;
    // Groups share a scale or, where the format is learned, a codebook.
    if constexpr (is_scaled || is_learned) return Spec::granularity_type::group_cols(whole);
    return whole;
  }();
  /// Whether scales and offsets stand in the panel, before the codes of their groups.
  static constexpr bool interleaves = [] {
    if constexpr (is_scaled && !is_learned && !keeps_tight_scales && !keeps_tight_zeros) {
      constexpr std::size_t whole = std::size_t{1} << 30;
      return most_group_columns < whole && Spec::granularity_type::group_rows(whole) == 1;
    } else {
      return false;
    }
  }();
  /// Bytes of a group's scales and offsets in a panel.
  static constexpr std::size_t scale_bytes =
      interleaves ? panel_rows * sizeof(typename scale_format::storage_type) : 0;
  static constexpr std::size_t offset_bytes =
      interleaves && has_offset ? panel_rows * sizeof(typename offset_format::storage_type) : 0;
  /// Groups of a block: four where that makes their scales fill multiples of 64 bytes. Two would do
  /// for 16-bit scales, but then groups of 128 lose a tenth of the bandwidth on Zen 4, as eight do
  /// for groups of 32.
  static constexpr std::size_t block_groups = (scale_bytes + offset_bytes) % 64 == 0 ? 1 : 4;
  static constexpr std::size_t head_bytes = block_groups * (scale_bytes + offset_bytes);
  static constexpr std::size_t block_bytes = [] {
    if constexpr (interleaves) {
      return head_bytes + block_groups * round_up(most_group_columns, step) * column_bytes;
    } else {
      return std::size_t{0};
    }
  }();

  /// Where padded column k of group g, or the unit that holds it, starts in a panel.
  QOMPOSE_INLINE static constexpr std::size_t column_at(std::size_t k, std::size_t g) noexcept {
    return (g / block_groups + (interleaves ? 1 : 0)) * head_bytes + k * column_bytes;
  }
  /// Where the scales of group g stand in a panel, and the offsets.
  QOMPOSE_INLINE static constexpr std::size_t scales_at(std::size_t g) noexcept {
    return g / block_groups * block_bytes + g % block_groups * scale_bytes;
  }
  QOMPOSE_INLINE static constexpr std::size_t offsets_at(std::size_t g) noexcept {
    return g / block_groups * block_bytes + block_groups * scale_bytes +
           g % block_groups * offset_bytes;
  }
  /// Bytes of a panel.
  QOMPOSE_INLINE static constexpr std::size_t panel_bytes(std::size_t padded_cols,
                                                          std::size_t groups) noexcept {
    return divide_up(groups, block_groups) * head_bytes + padded_cols * column_bytes;
  }
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
  /// @param step  columns to whose multiples groups are padded
  QOMPOSE_INLINE panel_geometry(std::size_t n_rows, std::size_t n_cols, std::size_t columns_a_group,
                                std::size_t step) noexcept
      : rows(n_rows),
        cols(n_cols),
        panels(divide_up(n_rows, panel_rows)),
        groups(divide_up(n_cols, columns_a_group)),
        group_cols(columns_a_group),
        group_stride(round_up(columns_a_group, step)),
        padded_cols(groups == 0 ? 0
                                : (groups - 1) * group_stride +
                                      round_up(n_cols - (groups - 1) * columns_a_group, step)) {}

  /// Where column c lies once groups are padded.
  [[nodiscard]] QOMPOSE_INLINE std::size_t padded(std::size_t c) const noexcept {
    return c / group_cols * group_stride + c % group_cols;
  }
  /// Which number is group g of row r in [panel][group][16 rows].
  [[nodiscard]] QOMPOSE_INLINE std::size_t group_at(std::size_t r, std::size_t g) const noexcept {
    return (r / panel_rows * groups + g) * panel_rows + r % panel_rows;
  }
};

inline namespace QOMPOSE_ISA {

/// The geometry of a [rows, cols] matrix stored as `Spec`.
template <tensor_spec Spec>
[[nodiscard]] panel_geometry geometry_of(std::size_t rows, std::size_t cols) noexcept {
  constexpr std::size_t step = panel_layout<Spec>::step;
  if constexpr (quant_spec<Spec>) {
    return {rows, cols, Spec::granularity_type::group_cols(cols), step};
  } else {
    return {rows, cols, cols, step};
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
