// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief The same as wide_matmul-inl.hpp for codebooks that belong to rows.

#if defined(QOMPOSE_KERNELS_WIDE_ROWS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_WIDE_ROWS_INL_HPP_
#undef QOMPOSE_KERNELS_WIDE_ROWS_INL_HPP_
#else
#define QOMPOSE_KERNELS_WIDE_ROWS_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/formats/fp16.hpp"
#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/panel_access-inl.hpp"
#include "qompose/kernels/row_planes-inl.hpp"
#include "qompose/kernels/row_tables-inl.hpp"
#include "qompose/kernels/row_words-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/wide_sums-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

template <class Layout>
class RowPlanes;
template <class Layout>
class RowWords;

/// What multiplies rows that have codebooks of their own.
template <class Layout>
using RowProducts = std::conditional_t<kWideAsPlanes, RowPlanes<Layout>, RowWords<Layout>>;

/// Whether rows with codebooks of their own suit. Entries of fp16 have integers whose products with
/// any activations stay within floats; tables must pay for being made; and chunks of columns share
/// no groups.
template <class Layout>
constexpr bool kHasWideRows = [] {
  if constexpr (Layout::is_learned && !Layout::is_shared && (kWideAsPlanes || kWideAsWords)) {
    constexpr int kBits = Layout::element::bits;
    if constexpr (kBits == 4 || (kWideAsPlanes && (kBits == 2 || kBits == 3))) {
      // With AVX-512 lookups of floats serve shorter groups; codes of fewer bits would have to be
      // spread out for them first.
      constexpr std::size_t kLeastColumns = !(HWY_ARCH_X86 && kWideAsPlanes) ? 512
                                            : kBits == 4                     ? 1024
                                                                             : 256;
      return std::is_same_v<typename Layout::element::entry, fp16> &&
             Layout::most_group_columns >= kLeastColumns &&
             Layout::most_group_columns % RowProducts<Layout>::kChunkColumns == 0;
    }
  }
  return false;
}();

template <class Layout, class = void>
struct WideRows {
  static constexpr bool kExists = false;
};

#if !QOMPOSE_PLAIN_TARGET
/// One token, cut into @ref Digits, and rows with tables of at most 16 entries each.
template <class Layout>
struct WideRows<Layout, std::enable_if_t<kHasWideRows<Layout>>> : PanelAccess<Layout> {
  using Access = PanelAccess<Layout>;
  using Arguments = detail::matmul_arguments;
  using Products = RowProducts<Layout>;
  template <std::size_t>
  using Tile = typename Products::Tile;
  static_assert(!Layout::is_scaled && !Layout::has_offset);

  static constexpr bool kExists = true;
  static constexpr bool kInteger = true;
  static constexpr bool kHasOffset = false;
  static constexpr std::size_t kDigits = 3;
  static constexpr std::size_t kCodeBytes = 8;
  /// Of eight columns in a tile: enough where a chunk has no more than a unit.
  static constexpr std::size_t kOctetBytes =
      divide_up(Products::Tile::kChunkBytes * 8, Layout::step* kDigits);
  static constexpr int kCorrection = Products::kCorrection;
  static constexpr float kCodeFactor = 1.0f;

  static constexpr std::size_t TileTokens(std::size_t) { return kDigits; }
  template <class F>
  static HWY_INLINE void WithTile(std::size_t, F&& f) {
    f(std::integral_constant<std::size_t, kDigits>());
  }
  static void Run(const Arguments& a, std::size_t first, std::size_t last) {
    for (std::size_t p = first; p < last; ++p) Panel(a, p);
  }

 private:
  static HWY_NOINLINE void Panel(const Arguments& shared, std::size_t p) {
    const Arguments a = shared;  // a copy, which stores of sums cannot change
    VF rows[kParts];
    Each<kParts>([&](auto v) QOMPOSE_FLATTEN { rows[v] = hn::Zero(DF()); });
    RowTables tables;
    for (std::size_t g = 0; g < a.geometry.groups; ++g) {
      const std::size_t begin = g * a.geometry.group_stride;
      const std::size_t end = begin + Access::GroupColumns(a, g);
      tables.template Make<Layout::codebook_floats>(
          Access::Codebooks(a, p, g),
          [](VI integers) QOMPOSE_FLATTEN { return Products::ToBytes(integers); });
      VF total[kRowSets];
      Unroll<kRowSets>([&](auto s) QOMPOSE_FLATTEN { total[s] = hn::Zero(DF()); });
      const auto* x = reinterpret_cast<const std::int8_t*>(a.x.values);
      // Corrections once a group.
      constexpr std::int32_t kNone[kDigits] = {};
      const std::int32_t* corrections = a.x.corrections + g * kDigits;
      for (std::size_t k = begin; k < end; k += Products::kStretchColumns) {
        Products::Add(
            tables, Access::Codes(a, p, k, g), std::min(Products::kStretchColumns, end - k),
            x + k / Products::kChunkColumns * Products::Tile::kChunkBytes, corrections, total);
        corrections = kNone;
      }
      Each<kParts>([&](auto v)
                       QOMPOSE_FLATTEN { rows[v] = hn::Add(rows[v], tables.Values(total, v)); });
    }
    const VF factor = hn::Set(DF(), Products::kUnit);
    const VF scale = hn::Set(DF(), a.x.scales[0]);
    Each<kParts>([&](auto v) QOMPOSE_FLATTEN {
      const VF value = hn::Mul(hn::Mul(rows[v], factor), scale);
      Access::Finish(a, 0, p * panel_rows + v * N, value);
    });
  }
};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
