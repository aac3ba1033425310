// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Y = X W^T for one token of floats, on integers: weights whose codes are looked up as
///        integers of more than 8 bits.

#if defined(QOMPOSE_KERNELS_WIDE_MATMUL_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_WIDE_MATMUL_INL_HPP_
#undef QOMPOSE_KERNELS_WIDE_MATMUL_INL_HPP_
#else
#define QOMPOSE_KERNELS_WIDE_MATMUL_INL_HPP_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/fields-inl.hpp"
#include "qompose/kernels/panel_access-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/wide_sums-inl.hpp"
#include "qompose/packing/wide_image.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Whether the integers of a layout have 16 bits.
template <class Layout>
constexpr bool kHasShortIntegers = [] {
  using Image = wide_image<typename Layout::element>;
  return Image::exists && Image::is_exact;
}();

template <class Layout, class = void>
struct WideMatmul {
  static constexpr bool kExists = false;
};

/// Products of one token, cut into @ref Digits, with weights that have a @ref wide_image or share a
/// codebook of at most 6 bits.
///
/// Sums are integers for some columns (WideSums::kMostColumns at most), then floats; each group's
/// is scaled.
template <class Layout>
struct WideMatmul<Layout, std::enable_if_t<WideSums<Layout, kHasShortIntegers<Layout>>::kExists>>
    : PanelAccess<Layout> {
  using Access = PanelAccess<Layout>;
  using Arguments = detail::matmul_arguments;
  using Image = wide_image<typename Layout::element>;
  using Sums = WideSums<Layout, kHasShortIntegers<Layout>>;

  static constexpr bool kExists = true;
  static constexpr bool kInteger = true;
  static constexpr bool kHasOffset = false;
  static_assert(!Layout::has_offset, "only integers have offsets");
  static constexpr std::size_t kDigits = 3;
  static constexpr std::size_t kCodeBytes = Sums::kCodeBytes;
  static constexpr std::size_t kOctetBytes = 2 * kCodeBytes;
  static constexpr int kCorrection = Sums::kCorrection;
  static constexpr float kCodeFactor = 1.0f;
  template <std::size_t>
  using Tile = typename Sums::Tile;

  static constexpr std::size_t TileTokens(std::size_t) { return kDigits; }
  template <class F>
  static HWY_INLINE void WithTile(std::size_t, F&& f) {
    f(std::integral_constant<std::size_t, kDigits>());
  }

  /// Panels [first, last), for one token.
  static void Run(const Arguments& a, std::size_t first, std::size_t last) {
    if constexpr (Layout::is_learned) {
      float largest = 0.0f;
      for (std::size_t i = 0; i < Layout::codebook_floats; ++i) {
        largest = std::max(largest, std::abs(a.weights.codebooks[i]));
      }
      typename Sums::Tables tables;
      for (std::size_t i = 0; i < Layout::codebook_floats; ++i) {
        tables.Set(i, detail::wide_integer(a.weights.codebooks[i], largest));
      }
      for (std::size_t p = first; p < last; ++p) {
        Panel(a, p, tables, detail::wide_unit(largest) * Sums::kUnit);
      }
    } else {
      for (std::size_t p = first; p < last; ++p) Panel(a, p, kTables, Image::unit * Sums::kUnit);
    }
  }

 private:
  static constexpr typename Sums::Tables kTables = [] {
    typename Sums::Tables tables;
    for (std::size_t i = 0; i < 64; ++i) tables.Set(i, Image::integers[i]);
    return tables;
  }();

  static HWY_NOINLINE void Panel(const Arguments& shared, std::size_t p,
                                 const typename Sums::Tables& tables, float unit) {
    const Arguments a = shared;  // a copy, which stores of sums cannot change
    const auto* x = reinterpret_cast<const std::int8_t*>(a.x.values);
    const Sums sums(tables);
    VF total[kParts];
    Each<kParts>([&](auto v) QOMPOSE_FLATTEN { total[v] = hn::Zero(DF()); });
    for (std::size_t g = 0; g < a.geometry.groups; ++g) {
      const std::size_t begin = g * a.geometry.group_stride;
      const std::size_t columns = Access::GroupColumns(a, g);
      const std::uint8_t* w = Access::Codes(a, p, begin, g);
      const std::int32_t* corrections = a.x.corrections + g * kDigits;
      const auto add_part = [&](auto v) QOMPOSE_FLATTEN {
        VF value;
        if constexpr (Layout::most_group_columns <= Sums::kMostColumns) {
          value = sums.Columns(w, v, x, columns, corrections);
        } else {
          constexpr std::int32_t kNone[kDigits] = {};
          value = hn::Zero(DF());
          for (std::size_t k = 0; k < columns; k += Sums::kMostColumns) {
            value = hn::Add(value, sums.Columns(w + k * Layout::column_bytes, v,
                                                x + k / 4 * kDigits * kCodeBytes,
                                                std::min(columns - k, Sums::kMostColumns),
                                                k == 0 ? corrections : kNone));
          }
        }
        if constexpr (Layout::is_scaled) {
          total[v] = hn::MulAdd(value, Access::Scale(a, p, g, v), total[v]);
        } else {
          total[v] = hn::Add(total[v], value);
        }
      };
      // Short vectors loop, as the code is long.
      if constexpr (kParts <= 2) {
        Each<kParts>(add_part);
      } else {
        for (std::size_t v = 0; v < kParts; ++v) add_part(v);
      }
      x += columns / 4 * kDigits * kCodeBytes;
    }
    Each<kParts>([&](auto v) QOMPOSE_FLATTEN {
      // Not by the product of both factors, which may be too small for a float.
      VF value = hn::Mul(hn::Mul(total[v], hn::Set(DF(), unit)), hn::Set(DF(), a.x.scales[0]));
      if constexpr (Layout::has_row_scales) value = hn::Mul(value, Access::RowScale(a, p, v));
      Access::Finish(a, 0, p * panel_rows + v * N, value);
    });
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
