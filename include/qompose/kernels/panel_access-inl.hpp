// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Where a product finds the parts of its weights, and how it hands out its results.

#if defined(QOMPOSE_KERNELS_PANEL_ACCESS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_PANEL_ACCESS_INL_HPP_
#undef QOMPOSE_KERNELS_PANEL_ACCESS_INL_HPP_
#else
#define QOMPOSE_KERNELS_PANEL_ACCESS_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Parts of the weights of one product, by panel p, group g of columns and vector `part` of rows.
/// @tparam kSharesScales  whether several groups of the product may share a scale
template <class Layout, bool kSharesScales = false>
struct PanelAccess {
  using ScaleFormat = typename Layout::scale_format;
  using OffsetFormat = typename Layout::offset_format;
  using Arguments = detail::matmul_arguments;

  /// Codes from column k, which is in group g; those of the next group need not follow.
  static HWY_INLINE const std::uint8_t* Codes(const Arguments& a, std::size_t p, std::size_t k,
                                              std::size_t g) {
    return Panel(a, p) + Layout::column_at(k, WeightGroup(a, g));
  }
  /// Scale of a group; where rows share a level of scales, the other one.
  static HWY_INLINE VF Scale(const Arguments& a, std::size_t p, std::size_t g, std::size_t part) {
    return LoadFloats<ScaleFormat>(ScaleBytes(a, p, g, part));
  }
  /// What is added to scale times code; Scale() as above.
  static HWY_INLINE VF Offset(const Arguments& a, std::size_t p, std::size_t g, std::size_t part) {
    const VF offset = LoadFloats<OffsetFormat>(OffsetBytes(a, p, g, part));
    if constexpr (Layout::has_zero_points) return hn::Neg(hn::Mul(offset, Scale(a, p, g, part)));
    return offset;
  }
  /// The level of scales that a row shares.
  static HWY_INLINE VF RowScale(const Arguments& a, std::size_t p, std::size_t part) {
    return hn::LoadU(DF(), a.weights.row_scales + p * panel_rows + part * N);
  }
  /// Integer scales and zero points.
  static HWY_INLINE VI IntegerScale(const Arguments& a, std::size_t p, std::size_t g,
                                    std::size_t part) {
    return LoadCodes(ScaleBytes(a, p, g, part));
  }
  static HWY_INLINE VI ZeroPoint(const Arguments& a, std::size_t p, std::size_t g,
                                 std::size_t part) {
    return LoadCodes(OffsetBytes(a, p, g, part));
  }
  /// The codebooks of the rows of a panel, where the layout has them.
  static HWY_INLINE const float* Codebooks(const Arguments& a, std::size_t p, std::size_t g) {
    if constexpr (Layout::is_learned && !Layout::is_shared) {
      return a.weights.codebooks + At(a, p, g, 0) * Layout::codebook_floats;
    } else {
      return a.weights.codebooks;
    }
  }
  /// Padded columns of group g.
  static HWY_INLINE std::size_t GroupColumns(const Arguments& a, std::size_t g) {
    const panel_geometry& geometry = a.geometry;
    return std::min(geometry.group_stride, geometry.padded_cols - g * geometry.group_stride);
  }
  /// y = value + bias for the rows of one vector.
  static HWY_INLINE void Finish(const Arguments& a, std::size_t token, std::size_t row, VF value) {
    if (row >= a.geometry.rows) return;
    const std::size_t count = a.geometry.rows - row;
    if (a.bias != nullptr) value = hn::Add(value, LoadFirst(a.bias + row, count));
    StoreFirst(value, a.y + token * a.y_stride + row, count);
  }

 private:
  static HWY_INLINE const std::uint8_t* ScaleBytes(const Arguments& a, std::size_t p, std::size_t g,
                                                   std::size_t part) {
    constexpr std::size_t kBytes = kFormatBytes<ScaleFormat>;
    if constexpr (Layout::interleaves) {
      return Panel(a, p) + Layout::scales_at(WeightGroup(a, g)) + part * N * kBytes;
    } else {
      return a.weights.scales + At(a, p, g, part) * kBytes;
    }
  }
  static HWY_INLINE const std::uint8_t* OffsetBytes(const Arguments& a, std::size_t p,
                                                    std::size_t g, std::size_t part) {
    constexpr std::size_t kBytes = kFormatBytes<OffsetFormat>;
    if constexpr (Layout::interleaves) {
      return Panel(a, p) + Layout::offsets_at(WeightGroup(a, g)) + part * N * kBytes;
    } else {
      return a.weights.offsets + At(a, p, g, part) * kBytes;
    }
  }
  static HWY_INLINE const std::uint8_t* Panel(const Arguments& a, std::size_t p) {
    return a.weights.panels + p * a.weights.panel_bytes;
  }
  /// The group of the weights that group g of the product is part of.
  static HWY_INLINE std::size_t WeightGroup(const Arguments& a, std::size_t g) {
    if constexpr (kSharesScales) return g / a.groups_a_scale;
    return g;
  }
  static HWY_INLINE std::size_t At(const Arguments& a, std::size_t p, std::size_t g,
                                   std::size_t part) {
    return (p * a.weight_groups + WeightGroup(a, g)) * panel_rows + part * N;
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
