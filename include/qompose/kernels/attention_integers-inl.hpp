// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Integer products of attention: rows of int8 codes meet columns of a panel.

#if defined(QOMPOSE_KERNELS_ATTENTION_INTEGERS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ATTENTION_INTEGERS_INL_HPP_
#undef QOMPOSE_KERNELS_ATTENTION_INTEGERS_INL_HPP_
#else
#define QOMPOSE_KERNELS_ATTENTION_INTEGERS_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/code_sums-inl.hpp"
#include "qompose/kernels/dot_columns-inl.hpp"
#include "qompose/kernels/interleave-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/packing/cache_block.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Rows of int8 codes, several side by side as products of `Codes` want them.
/// @tparam kMostColumns  codes of the longest row
/// @tparam kUnsigned     whether all codes are in 0 .. 127
template <class Codes, std::size_t kMostColumns, bool kUnsigned>
class CodeRows {
  using Columns = DotColumns<Codes, kUnsigned>;
  using Product = typename Columns::Product;
  using Image = integer_image<typename Codes::element>;
  using FromPanel = typename Columns::FromPanel;
  using FromStage = typename Columns::FromStage;

  /// Rows that share the registers.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static constexpr std::size_t kTile = 8;
#else
  static constexpr std::size_t kTile = 4;
#endif
  static_assert(detail::attention_rows % kTile == 0);

 public:
  /// The power of two between integers and values.
  static constexpr float kFactor = static_cast<float>(1 << Image::exponent);

  /// Where to write the codes of a row; those past its end have to be 0 up to `columns`.
  HWY_INLINE std::int8_t* Row(std::size_t row) { return rows_ + row * kMostColumns; }

  /// Takes the codes of `rows` rows once they are written.
  HWY_INLINE void Finish(std::size_t rows, std::size_t columns) {
    n_rows_ = rows;
    columns_ = columns;
    WithTile([&](auto tile) QOMPOSE_FLATTEN {
      constexpr std::size_t T = decltype(tile)::value;
      const std::size_t padded = round_up(rows, T);
      for (std::size_t r = rows; r < padded; ++r) std::memset(Row(r), 0, columns);
      for (std::size_t r = 0; r < padded; r += T) {
        InterleaveCodes<T, Product::kCodeBytes>::Run(Row(r), kMostColumns, columns, columns,
                                                     tiles_ + TileAt(r, columns));
      }
    });
  }

  /// finish(row, part, sums) with the dot products of each row and columns [0, count) of a panel,
  /// which meet the codes from `first` on. Rows past the last, up to a tile, are handed out too.
  /// @param sum_of  (row) -> the sum of the codes
  template <class SumOf, class Use>
  HWY_INLINE void Multiply(const std::uint8_t* panel, std::size_t first, std::size_t count,
                           SumOf&& sum_of, Use&& use) const {
    WithTile([&](auto tile) QOMPOSE_FLATTEN {
      constexpr std::size_t T = decltype(tile)::value;
      if (n_rows_ <= T) {
        Tile<T, FromPanel>(panel, 0, first, count, sum_of, use);
        return;
      }
      alignas(64) std::uint8_t stage[kMostColumns * panel_rows * Product::kWeightBytes];
      Unpack(panel, count, stage);
      for (std::size_t r = 0; r < n_rows_; r += T) {
        Tile<T, FromStage>(stage, r, first, count, sum_of, use);
      }
    });
  }

 private:
  /// Makes f know how many rows share the registers.
  template <class F>
  HWY_INLINE void WithTile(F&& f) const {
    if (n_rows_ == 1) {
      f(std::integral_constant<std::size_t, 1>());
    } else if (kTile == 4 || n_rows_ <= 4) {
      f(std::integral_constant<std::size_t, 4>());
    } else {
      f(std::integral_constant<std::size_t, kTile>());
    }
  }
  static HWY_INLINE std::size_t TileAt(std::size_t row, std::size_t columns) {
    return row * columns / 4 * Product::kCodeBytes;
  }

  template <std::size_t T, class Source, class SumOf, class Use>
  HWY_INLINE void Tile(const std::uint8_t* w, std::size_t row, std::size_t first, std::size_t count,
                       SumOf&& sum_of, Use&& use) const {
    constexpr std::int32_t kCorrection = Image::lowest + Product::kShift;
    const std::int8_t* x = tiles_ + TileAt(row, columns_) + first / 4 * T * Product::kCodeBytes;
    VI sum[T][kParts];
    Each<T>([&](auto m) QOMPOSE_FLATTEN {
      Each<kParts>([&](auto part) QOMPOSE_FLATTEN { sum[m][part] = hn::Zero(DI()); });
    });
    Columns::template Multiply<1, T, Source>(
        w, 0, x, count,
        [&](std::size_t m, std::size_t) QOMPOSE_FLATTEN {
          return hn::Set(DI(), kCorrection == 0 ? 0 : kCorrection * sum_of(row + m));
        },
        sum);
    Each<T>([&](auto m) QOMPOSE_FLATTEN {
      Each<kParts>([&](auto part) QOMPOSE_FLATTEN { use(row + m, part, sum[m][part]); });
    });
  }

  /// Columns of a panel, ready to be multiplied.
  static HWY_INLINE void Unpack(const std::uint8_t* w, std::size_t columns, std::uint8_t* out) {
    for (std::size_t k = 0; k < columns; k += Codes::step) {
      for (std::size_t u = 0; u < Codes::step; u += 4 * FromPanel::kQuads) {
        Unroll<FromPanel::kQuads>([&](auto quad) QOMPOSE_FLATTEN {
          Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
            Product::StoreWeights(FromPanel::template Get<decltype(quad)::value>(w, part),
                                  out + part * 4 * N * Product::kWeightBytes);
          });
          out += FromStage::kBytes;
        });
        w += FromPanel::kBytes;
      }
    }
  }

  std::size_t n_rows_ = 0;
  std::size_t columns_ = 0;
  alignas(64) std::int8_t rows_[detail::attention_rows * kMostColumns];
  alignas(64) std::int8_t tiles_[detail::attention_rows * kMostColumns / 4 * Product::kCodeBytes];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
