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
#include <limits>
#include <type_traits>

#include "qompose/kernels/attention_floats-inl.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/code_sums-inl.hpp"
#include "qompose/kernels/dot_columns-inl.hpp"
#include "qompose/kernels/interleave-inl.hpp"
#include "qompose/kernels/quantize-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/packing/cache_block.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Rows of floats, times a factor for each column, rounded to int8 with a scale for each row: an
/// error of at most half a step, which is a 127th of the largest product.
///
/// A row that is not finite gets a scale of NaN, so that the fault shows in every result.
///
/// @param columns  a multiple of 16
/// @param codes    [rows][stride]
/// @param unit     what scales are multiplied by besides
/// @param sums     of the codes of each `group` columns, [groups][detail::attention_rows], or null
struct RoundRows {
  static HWY_NOINLINE void Run(const FloatRows& rows, const float* factors, std::size_t columns,
                               std::int8_t* codes, std::size_t stride, float unit, float* scales,
                               std::size_t group, std::int32_t* sums) {
    constexpr float kSteps = 127.0f;
    constexpr std::int32_t kInfinity = 0x7f80'0000;
    const VI magnitude = hn::Set(DI(), 0x7fff'ffff);
    for (std::size_t r = 0; r < rows.count; ++r) {
      const float* x = rows.at + r * rows.stride;
      std::int8_t* out = codes + r * stride;
      const auto product = [&](std::size_t k) QOMPOSE_FLATTEN {
        return hn::Mul(hn::LoadU(DF(), x + k), hn::LoadU(DF(), factors + k));
      };
      VI highest[2] = {hn::Zero(DI()), hn::Zero(DI())};
      for (std::size_t k = 0; k < columns; k += panel_rows) {
        Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
          const VI bits = hn::BitCast(DI(), product(k + part * N));
          highest[part % 2] = hn::Max(highest[part % 2], hn::And(bits, magnitude));
        });
      }
      const VI both = hn::Max(highest[0], highest[1]);
      const std::int32_t bits = hn::GetLane(hn::MaxOfLanes(DI(), both));
      float most;
      std::memcpy(&most, &bits, sizeof(most));
      // Smaller ones are 0 beside anything, and their inverse would overflow.
      if (bits >= kInfinity || !(most > 0x1p-120f)) {
        std::memset(out, 0, columns);
        scales[r] = bits >= kInfinity ? std::numeric_limits<float>::quiet_NaN() : 0.0f;
      } else {
        const VF inverse = hn::Set(DF(), kSteps / most);
        scales[r] = most / kSteps * unit;
        const auto code = [&](std::size_t k)
                              QOMPOSE_FLATTEN { return RoundToInt(hn::Mul(product(k), inverse)); };
        std::size_t k = 0;
        if constexpr (N > 1) {
          for (; k + 4 * N <= columns; k += 4 * N) {
            StoreAsBytes(code(k), code(k + N), code(k + 2 * N), code(k + 3 * N), out + k);
          }
        }
        for (; k < columns; k += N) {
          const hn::Rebind<std::int8_t, DF> narrow;
          hn::StoreU(hn::DemoteTo(narrow, code(k)), narrow, out + k);
        }
      }
      if (sums == nullptr) continue;
      CodeSums::Groups(out, columns, group, [&](std::size_t g, std::int32_t sum) QOMPOSE_FLATTEN {
        sums[g * detail::attention_rows + r] = sum;
      });
    }
  }
};

/// Tiles of kWidth rows of codes, see InterleaveCodes. Rows past the last one up to a tile are 0.
template <std::size_t kWidth, std::size_t kCodeBytes>
struct InterleaveRows {
  static HWY_NOINLINE void Run(std::int8_t* rows, std::size_t stride, std::size_t n_rows,
                               std::size_t columns, std::int8_t* tiles) {
    for (std::size_t r = n_rows; r < round_up(n_rows, kWidth); ++r) {
      std::memset(rows + r * stride, 0, columns);
    }
    for (std::size_t r = 0; r < n_rows; r += kWidth) {
      InterleaveCodes<kWidth, kCodeBytes>::Run(rows + r * stride, stride, columns, columns,
                                               tiles + r * columns / 4 * kCodeBytes);
    }
  }
};

/// Sums of the rows of tiles whose codes are bytes, all rows of a tile at once.
template <std::size_t kWidth>
struct SumTiles {
  /// Whether tiles of so many columns are whole vectors.
  static HWY_INLINE bool Takes(std::size_t columns) {
    return !QOMPOSE_PLAIN_TARGET && kWidth <= N && columns / 4 * kWidth % N == 0;
  }
  static HWY_NOINLINE void Run([[maybe_unused]] const std::int8_t* tiles,
                               [[maybe_unused]] std::size_t rows,
                               [[maybe_unused]] std::size_t columns,
                               [[maybe_unused]] std::int32_t* sums) {
#if !QOMPOSE_PLAIN_TARGET
    using Ones = Dot<1>;
    static_assert(Ones::kRun >= max_head_dim / 4 && kWidth <= N);
    const auto ones = Ones::Prepare(hn::Set(DU8(), std::uint8_t{1}));
    for (std::size_t r = 0; r < rows; r += kWidth) {
      auto partial = Ones::Start();
      for (std::size_t i = 0; i < columns * kWidth; i += 4 * N) {
        Ones::Add(partial, ones, hn::LoadU(DI8(), tiles + r * columns + i));
      }
      alignas(64) std::int32_t lanes[N];
      hn::Store(Ones::Flush(hn::Zero(DI()), partial), DI(), lanes);
      for (std::size_t m = 0; m < kWidth; ++m) {
        std::int32_t sum = 0;
        for (std::size_t i = m; i < N; i += kWidth) sum += lanes[i];
        sums[r + m] = sum;
      }
    }
#endif
  }
};

/// Rows of codes as products take them: tiles of rows side by side.
struct CodeTiles {
  const std::int8_t* at = nullptr;
  std::size_t columns = 0;
  std::size_t count = 0;          ///< of rows
  const float* scales = nullptr;  ///< of rows
  const std::int32_t* sums = nullptr;
};

/// What products have to know of codes: formats that differ in their scales have the same.
template <class Element, std::size_t kGroupColumns>
struct ProductLayout : code_layout<Element> {
  static constexpr std::size_t most_group_columns = kGroupColumns;
  /// A program has many caches, and long loops take no less time here.
  static constexpr bool keeps_loops_short = true;
};

/// Products of rows of int8 codes and panels, compiled once for all caches.
/// @tparam kUnsigned  whether all codes are in 0 .. 127 and products make use of it
template <class Layout, bool kUnsigned>
class CodeProducts {
  using Columns = DotColumns<Layout, kUnsigned>;
  using Image = integer_image<typename Layout::element>;
  using FromPanel = typename Columns::FromPanel;
  using FromStage = typename Columns::FromStage;

  /// Rows and panels that share the registers.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static constexpr std::size_t kMany = 8;
#else
  static constexpr std::size_t kMany = 4;
#endif
  static constexpr std::size_t kFew = 4;
  static constexpr std::size_t kWide = kParts == 1 ? 2 : 1;
  static_assert(detail::attention_rows % kMany == 0);

 public:
  using Product = typename Columns::Product;
  /// use(tile) with what makes tiles of so many rows.
  template <class Use>
  static HWY_INLINE void WithTile(std::size_t rows, Use&& use) {
    if (rows == 1) {
      use(std::integral_constant<std::size_t, 1>());
    } else if (kFew == kMany || rows <= kFew) {
      use(std::integral_constant<std::size_t, kFew>());
    } else {
      use(std::integral_constant<std::size_t, kMany>());
    }
  }

  /// Columns [0, columns) of panels meet the codes from column `first` on. Sums of rows past the
  /// last one, up to a tile, are stored, too.
  static HWY_NOINLINE void Run(const CodeTiles& rows, std::size_t first, const std::uint8_t* panels,
                               std::size_t panel_bytes, std::size_t n_panels, std::size_t columns,
                               const PanelSums& sums, NextLines& next) {
    const std::size_t share = next.Share(rows.count <= kFew ? 1 : divide_up(rows.count, kMany));
    const std::uint8_t* meet[kWide];
    std::size_t lane[kWide];
    // Past the last panel is the last one again.
    const auto place = [&](std::size_t p, std::size_t i) QOMPOSE_FLATTEN {
      const std::size_t at = std::min(p + i, n_panels - 1);
      lane[i] = at * panel_rows;
      return at;
    };
    if (rows.count <= kFew) {
      for (std::size_t p = 0; p < n_panels; p += kWide) {
        next.Ask(share * kWide);
        for (std::size_t i = 0; i < kWide; ++i) meet[i] = panels + place(p, i) * panel_bytes;
        if (rows.count == 1) {
          Tile<kWide, 1, FromPanel>(rows, 0, first, meet, lane, columns, sums);
        } else {
          Tile<kWide, kFew, FromPanel>(rows, 0, first, meet, lane, columns, sums);
        }
      }
      return;
    }
    constexpr std::size_t kStageBytes = max_head_dim * panel_rows * Product::kWeightBytes;
    alignas(64) std::uint8_t stage[kWide * kStageBytes];
    for (std::size_t p = 0; p < n_panels; p += kWide) {
      for (std::size_t i = 0; i < kWide; ++i) {
        const std::size_t at = place(p, i);
        meet[i] = stage + (at - p) * kStageBytes;
        if (at == p + i) Unpack(panels + at * panel_bytes, columns, stage + i * kStageBytes);
      }
      for (std::size_t r = 0; r < rows.count; r += kMany) {
        next.Ask(share * kWide);
        Tile<kWide, kMany, FromStage>(rows, r, first, meet, lane, columns, sums);
      }
    }
  }

 private:
  template <std::size_t n, std::size_t T, class Source>
  static HWY_INLINE void Tile(const CodeTiles& rows, std::size_t row, std::size_t first,
                              const std::uint8_t* (&panels)[n], const std::size_t (&lane)[n],
                              std::size_t columns, const PanelSums& sums) {
    constexpr std::size_t V = n * kParts;
    constexpr std::int32_t kCorrection = Image::lowest + Product::kShift;
    const std::int8_t* x = rows.at + (row * rows.columns + first * T) / 4 * Product::kCodeBytes;
    VI sum[T][V];
    Each<T>([&](auto m) QOMPOSE_FLATTEN {
      Each<V>([&](auto v) QOMPOSE_FLATTEN { sum[m][v] = hn::Zero(DI()); });
    });
    Columns::template Multiply<n, T, Source>(
        panels[0], static_cast<std::size_t>(panels[n - 1] - panels[0]), x, columns,
        [&](std::size_t m, std::size_t) QOMPOSE_FLATTEN {
          return hn::Set(DI(), kCorrection == 0 ? 0 : kCorrection * rows.sums[row + m]);
        },
        sum);
    VF factors[V];
    Each<V>([&](auto v) QOMPOSE_FLATTEN {
      factors[v] = sums.factors == nullptr
                       ? hn::Set(DF(), 1.0f)
                       : hn::LoadU(DF(), sums.factors + lane[v / kParts] + v % kParts * N);
    });
    Each<T>([&](auto m) QOMPOSE_FLATTEN {
      const VF scale = hn::Set(DF(), rows.scales[row + m]);
      float* out = sums.out + (row + m) * sums.stride;
      VF total[V];
      Each<V>([&](auto v) QOMPOSE_FLATTEN {
        total[v] = hn::Mul(hn::ConvertTo(DF(), sum[m][v]), scale);
        if (sums.adds) {
          const float* at = out + lane[v / kParts] + v % kParts * N;
          total[v] = hn::MulAdd(total[v], factors[v], hn::LoadU(DF(), at));
        } else {
          total[v] = hn::Mul(total[v], factors[v]);
        }
      });
      // All before the first is stored, as a panel may be there twice.
      Each<V>([&](auto v) QOMPOSE_FLATTEN {
        hn::StoreU(total[v], DF(), out + lane[v / kParts] + v % kParts * N);
      });
    });
  }

  /// Columns of a panel, ready to be multiplied.
  static HWY_INLINE void Unpack(const std::uint8_t* w, std::size_t columns, std::uint8_t* out) {
    for (std::size_t k = 0; k < columns; k += Layout::step) {
      for (std::size_t u = 0; u < Layout::step; u += 4 * FromPanel::kQuads) {
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
};

/// Rows of floats, rounded to int8, for products with `Codes`.
/// @tparam kMostColumns  of the longest row
/// @tparam kMostGroups   of columns that belong to different products
/// @tparam kUnsigned     whether all codes are in 0 .. 127
template <class Codes, std::size_t kMostColumns, std::size_t kMostGroups, bool kUnsigned>
class CodeRows {
  static constexpr std::size_t kRows = detail::attention_rows;
  using Element = typename Codes::element;
  static constexpr int kRaised = integer_image<Element>::most_raised;
  static constexpr bool kUses =
      !std::is_same_v<typename DotOf<kRaised, true>::type, typename DotOf<kRaised, false>::type>;
  static constexpr std::size_t kGroup =
      Codes::most_group_columns <= 64 ? Codes::most_group_columns : std::size_t{1} << 30;
  using Products = CodeProducts<ProductLayout<Element, kGroup>, kUnsigned && kUses>;

 public:
  /// Takes rows of `columns` floats, of which each `group` are a product of their own, times
  /// factors.
  HWY_INLINE void Take(const FloatRows& rows, const float* factors, std::size_t columns,
                       std::size_t group) {
    constexpr float kUnit = 1.0f / static_cast<float>(1 << integer_image<Element>::exponent);
    constexpr std::size_t kCodeBytes = Products::Product::kCodeBytes;
    const std::size_t padded = round_up(columns, panel_rows);
    n_rows_ = rows.count;
    columns_ = columns;
    Products::WithTile(n_rows_, [&](auto tile) QOMPOSE_FLATTEN {
      constexpr std::size_t kWidth = decltype(tile)::value;
      // Sums of rows are found faster in tiles.
      constexpr bool kSums = kMostGroups == 1 && kCodeBytes == 4 && kWidth > 1 && kWidth <= N;
      const bool sums_tiles = kSums && SumTiles<kWidth>::Takes(columns);
      RoundRows::Run(rows, factors, padded, codes_, kMostColumns, kUnit, scales_,
                     kMostGroups == 1 ? padded : group, sums_tiles ? nullptr : sums_);
      for (std::size_t r = n_rows_; r < round_up(n_rows_, kWidth); ++r) {
        scales_[r] = 0.0f;
        for (std::size_t g = 0; g < kMostGroups; ++g) sums_[g * kRows + r] = 0;
      }
      InterleaveRows<kWidth, kCodeBytes>::Run(codes_, kMostColumns, n_rows_, columns, tiles_);
      if constexpr (kSums) {
        if (sums_tiles) SumTiles<kWidth>::Run(tiles_, n_rows_, columns, sums_);
      }
    });
  }

  /// Group `group` meets panels of its columns, which begin at `first`.
  HWY_INLINE void Multiply(std::size_t group, std::size_t first, const std::uint8_t* panels,
                           std::size_t panel_bytes, std::size_t n_panels, std::size_t columns,
                           const PanelSums& sums, NextLines& next) const {
    Products::Run({tiles_, columns_, n_rows_, scales_, sums_ + group * kRows}, first, panels,
                  panel_bytes, n_panels, columns, sums, next);
  }

  /// The sum of what a row's codes of a group stand for.
  [[nodiscard]] HWY_INLINE float Sum(std::size_t group, std::size_t row) const {
    constexpr float kUnit = static_cast<float>(1 << integer_image<Element>::exponent);
    return static_cast<float>(sums_[group * kRows + row]) * scales_[row] * kUnit;
  }

 private:
  std::size_t n_rows_ = 0;
  std::size_t columns_ = 0;
  float scales_[kRows];
  std::int32_t sums_[kRows * kMostGroups];
  alignas(64) std::int8_t codes_[kRows * kMostColumns];
  alignas(64) std::int8_t tiles_[kRows * kMostColumns / 4 * Products::Product::kCodeBytes];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
