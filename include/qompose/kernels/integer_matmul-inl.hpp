// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Y = X W^T on integers: weights with an integer image, int8 activation codes.

#if defined(QOMPOSE_KERNELS_INTEGER_MATMUL_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_INTEGER_MATMUL_INL_HPP_
#undef QOMPOSE_KERNELS_INTEGER_MATMUL_INL_HPP_
#else
#define QOMPOSE_KERNELS_INTEGER_MATMUL_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/dot_columns-inl.hpp"
#include "qompose/kernels/panel_access-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// What becomes of the sums of @ref IntegerMatmul by default: they are scaled and stored as floats.
struct StoreScaled {
  using MatmulArguments = detail::matmul_arguments;
};

/// Integer dot products over panels.
///
/// Sums stay in int32 within a group; each group's sum is converted, multiplied by the group's
/// scale and added in float. A single group (one scale a row) is scaled once, by the product of
/// both scales, so that the result is exact up to that product.
///
/// A few tokens meet fields unpacked in registers; for more, the first tile of a block of tokens
/// leaves the unpacked fields of a stretch of columns in L1, where the others meet them, unless
/// they are as well unpacked for each tile (`kStages`).
///
/// @tparam scales       what shares a scale of activation codes
/// @tparam Output       who takes the results: @ref StoreScaled, or a function object such as
///                      @ref Requantize, made of `Arguments::output`, which is called as
///                      output(token, row, sums) with the int32 sums of N rows of the only group
/// @tparam digits       rows of codes that make one token, whose results are added: 1, or
///                      Digits::kCount for floats
/// @tparam Products     what multiplies codes and columns: @ref DotColumns or @ref TableColumns
template <class Layout, detail::code_scales scales = detail::code_scales::of_tokens,
          class Output = StoreScaled, std::size_t digits = 1, class Products = DotColumns<Layout>>
struct IntegerMatmul : PanelAccess<Layout, scales == detail::code_scales::of_parts> {
  /// Whether groups of the product share scales of the weights.
  static constexpr bool kCutsGroups = scales == detail::code_scales::of_parts;
  using Access = PanelAccess<Layout, kCutsGroups>;
  using Arguments = typename Output::MatmulArguments;
  using Element = typename Layout::element;
  using Image = integer_image<Element>;
  using Columns = Products;
  using Product = typename Columns::Product;
  using FromPanel = typename Columns::FromPanel;
  /// What makes a tile of rows of codes.
  template <std::size_t kWidth>
  using Tile = typename Columns::template Tile<kWidth>;

  static constexpr bool kInteger = true;
  static constexpr std::size_t kOneToken = 1, kAnyNumber = ~std::size_t{0};
  /// Whether groups have scales of activation codes.
  static constexpr bool kGroupCodes = scales != detail::code_scales::of_tokens;
  static constexpr bool kHasOffset = Layout::has_offset;
  static constexpr bool kScalesSums = std::is_same_v<Output, StoreScaled>;
  /// Whether sums of a row stay integers over its groups.
  static constexpr bool kIntegerScales = Layout::has_integer_scales && !kGroupCodes;
  static constexpr std::size_t kCodeBytes = Product::kCodeBytes;
  /// What an operand lacks to the integer it stands for; sums get it back.
  static constexpr int kCorrection = Image::lowest + Product::kShift;
  /// The power of two between integers and values; activation scales take it in.
  static constexpr float kCodeFactor = 1.0f / static_cast<float>(1 << Image::exponent);

  // kMostRows of codes meet weights that were unpacked once; processors with AVX-512 have the cache
  // for more. Up to kFewTiles, each tile unpacks for itself, which hides behind products that are
  // one instruction.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static constexpr std::size_t kPanels = 2, kTokens = 8, kMostRows = 128, kFewTiles = 8;
#elif HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  static constexpr std::size_t kPanels = 1, kTokens = 4, kMostRows = 64, kFewTiles = 2;
#elif HWY_ARCH_ARM_A64
  static constexpr std::size_t kPanels = 1, kTokens = 4, kMostRows = 64, kFewTiles = 2;
#else
  static constexpr std::size_t kPanels = 1, kTokens = 2, kMostRows = 64, kFewTiles = 2;
#endif
  static constexpr std::size_t kDigits = digits;
  /// Rows of codes of a tile, whole tokens.
  static constexpr std::size_t kTileRows = std::max(kTokens / kDigits, std::size_t{1}) * kDigits;
  /// The same for a few tokens, as many as leave their products to the speed of memory.
  static constexpr std::size_t kFewRows = kTileRows == 8 ? 4 : kTileRows;
  /// The same for many tokens of weights in groups, whose sums then stay in registers between them.
  static constexpr std::size_t kManyRows = kTileRows == 8 && Layout::interleaves ? 6 : kTileRows;
  /// For how many tokens floats are cut into digits rather than weights decoded to floats: for all
  /// where the processor multiplies bytes as fast as three floats, for one, which is a matter of
  /// bytes read, elsewhere.
  static constexpr std::size_t kMostDigitTokens = Product::kIsNative         ? kAnyNumber
                                                  : Product::kCodeBytes == 4 ? kOneToken
                                                                             : 0;
  static constexpr bool kStages = Columns::kStages;
  /// Columns unpacked at a time, and tiles that meet them.
  static constexpr std::size_t kColumns = 1024 / Product::kWeightBytes;
  static constexpr std::size_t kBlockTiles = kMostRows / kManyRows;
  static constexpr std::size_t kStageBytes = Columns::kStageBytes;
  /// Rows up to which tiles of kTileRows are as good as those of kManyRows, if they divide better.
  static constexpr std::size_t kMostWholeRows = 32;
  template <class Source>
  static constexpr bool kUsesStage = Source::kIsStaged || Source::kKeeps;

  /// Whether stretches of columns hold whole groups, and tiles of T tokens take them without a
  /// branch in between: a few columns took as long to find as to multiply, and many tokens need
  /// the registers of a group that goes on in the next stretch. One token is not faster for it.
  static constexpr std::size_t kGroupStride = round_up(Layout::most_group_columns, Layout::step);
  static constexpr bool kHasWholeGroups = Layout::interleaves && kScalesSums && !kCutsGroups &&
                                          kGroupStride <= kColumns && kColumns % kGroupStride == 0;
  template <std::size_t T>
  static constexpr bool kTakesWholeGroups =
      kHasWholeGroups && (kGroupStride <= 64 || (T == kManyRows && kManyRows < kTileRows));

  /// Rows of codes in each tile of a product of so many tokens.
  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    const std::size_t rows = n_tokens * kDigits;
    if (n_tokens == 1) return kDigits;
    if (rows <= kFewRows) return kFewRows;
    // A tile of 6 takes 0.7 times as long as one of 8; the rest of the last one is lost.
    const bool pays = 7 * divide_up(rows, kManyRows) <= 10 * divide_up(rows, kTileRows);
    return pays || rows > kMostWholeRows ? kManyRows : kTileRows;
  }
  /// f(rows of a tile) with a compile-time argument.
  template <class F>
  static HWY_INLINE void WithTile(std::size_t n_tokens, F&& f) {
    const std::size_t rows = TileTokens(n_tokens);
    if (rows == kManyRows) {
      f(std::integral_constant<std::size_t, kManyRows>());
    } else if (rows == kTileRows) {
      f(std::integral_constant<std::size_t, kTileRows>());
    } else if (rows == kFewRows) {
      f(std::integral_constant<std::size_t, kFewRows>());
    } else {
      f(std::integral_constant<std::size_t, kDigits>());
    }
  }
  /// Panels [first, last).
  static void Run(const Arguments& a, std::size_t first, std::size_t last) {
    const std::size_t rows = TileTokens(a.n_tokens);
    // One stream in the order of memory: more of them were slower.
    if (a.n_tokens == 1) {
      Tiles<1, kDigits>(a, first, last, 0, 1);
    } else if (kFewRows < kManyRows && rows == kFewRows) {
      Tiles<1, kFewRows>(a, first, last, 0, 1);
    } else if (rows == kManyRows) {
      AllTiles<kManyRows>(a, first, last);
    } else {
      AllTiles<kTileRows>(a, first, last);
    }
  }

 private:
  /// Sums of T tokens and n panels between stretches of columns.
  template <std::size_t n, std::size_t T>
  struct Sums {
    VI group[T][n * kParts];
    VF total[T][n * kParts];

    // Not `= {}`: NEON's vectors have a constructor that leaves them as they are.
    HWY_INLINE Sums() {
      Each<T>([&](auto m) QOMPOSE_FLATTEN {
        Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
          group[m][v] = hn::Zero(DI());
          total[m][v] = hn::Zero(DF());
        });
      });
    }
  };

  /// One tile of tokens over columns [k, k + columns), which may start or end inside a group.
  /// @param stage  these columns unpacked, panel after panel, where the source keeps or takes them
  template <std::size_t n, std::size_t T, class Source>
  static HWY_INLINE void Stretch(const Arguments& a, std::size_t p, std::size_t tile, std::size_t k,
                                 std::size_t columns, std::uint8_t* stage, Sums<n, T>& sums) {
    constexpr std::size_t kV = n * kParts;
    const auto* x = reinterpret_cast<const std::int8_t*>(a.x.values) +
                    (tile * a.geometry.padded_cols + k) / 4 * T * kCodeBytes;
    // Here rather than in memory, through which sums would go once a group.
    VF total[T][kV];
    Each<kV>([&](auto v) QOMPOSE_FLATTEN {
      Each<T>([&](auto m) QOMPOSE_FLATTEN { total[m][v] = sums.total[m][v]; });
    });
    if constexpr (kTakesWholeGroups<T>) {
      WholeGroups<n, T, Source>(a, p, tile, k, columns, x, stage, sums.group, total);
    } else {
      AnyGroups<n, T, Source>(a, p, tile, k, columns, x, stage, sums.group, total);
    }
    if (!IsSingle(a)) {
      Each<T>([&](auto m) QOMPOSE_FLATTEN {
        Each<kV>([&](auto v) QOMPOSE_FLATTEN { sums.total[m][v] = total[m][v]; });
      });
    }
  }

  /// total += the groups of columns [k, k + columns) for the codes of T tokens at x; the sums of a
  /// group that ends elsewhere, or of the only one, stay integers, in `group`.
  template <std::size_t n, std::size_t T, class Source>
  static HWY_INLINE void AnyGroups(const Arguments& a, std::size_t p, std::size_t tile,
                                   std::size_t k, std::size_t columns, const std::int8_t* x,
                                   std::uint8_t* stage, VI (&group)[T][n * kParts],
                                   VF (&total)[T][n * kParts]) {
    constexpr std::size_t kV = n * kParts;
    const std::size_t stage_bytes = columns * kStageBytes;
    const std::size_t panel_bytes = Source::kIsStaged ? stage_bytes : a.weights.panel_bytes;
    const std::size_t end = k + columns;
    for (std::size_t g = k / a.geometry.group_stride; k < end; ++g) {
      const std::size_t group_begin = g * a.geometry.group_stride;
      const std::size_t group_end = group_begin + Access::GroupColumns(a, g);
      const std::size_t count = std::min(end, group_end) - k;
      const std::size_t at = (tile * a.geometry.groups + g) * T;
      const std::uint8_t* w = Source::kIsStaged ? stage : Access::Codes(a, p, k, g);
      // Scales that stand before the codes are read before them, in the order of memory.
      constexpr bool kScaleFirst = Layout::interleaves && T == kDigits && !Source::kIsStaged;
      VF scale[kV];
      if constexpr (kScaleFirst) LoadScales<n>(a, p, g, scale);
      VI sum[T][kV] = {};
      Columns::template Multiply<n, T, Source>(
          w, panel_bytes, x, count,
          [&](std::size_t m, std::size_t v) QOMPOSE_FLATTEN {
            return k == group_begin ? hn::Set(DI(), a.x.corrections[at + m]) : group[m][v];
          },
          sum, {stage, stage_bytes}, Source::kIsStaged ? 0 : Further<n>(a, p, w));
      if constexpr (kUsesStage<Source>) stage += count * kStageBytes;
      x += count / 4 * T * kCodeBytes;
      k += count;
      if (k < group_end || IsSingle(a)) {
        Each<T>([&](auto m) QOMPOSE_FLATTEN {
          Each<kV>([&](auto v) QOMPOSE_FLATTEN { group[m][v] = sum[m][v]; });
        });
      } else {
        if constexpr (!kScaleFirst) LoadScales<n>(a, p, g, scale);
        AddGroup<n, T>(a, p, tile, g, sum, scale, total);
      }
    }
  }

  /// The same where stretches of columns hold whole groups.
  template <std::size_t n, std::size_t T, class Source>
  static HWY_INLINE void WholeGroups(const Arguments& a, std::size_t p, std::size_t tile,
                                     std::size_t k, std::size_t columns, const std::int8_t* x,
                                     std::uint8_t* stage, VI (&group)[T][n * kParts],
                                     VF (&total)[T][n * kParts]) {
    const std::size_t stage_bytes = columns * kStageBytes;
    const std::size_t panel_bytes = Source::kIsStaged ? stage_bytes : a.weights.panel_bytes;
    std::size_t g = k / kGroupStride;
    const std::int32_t* start = a.x.corrections + (tile * a.geometry.groups + g) * T;
    const auto multiply = [&](std::size_t count, VI(&sum)[T][n * kParts]) QOMPOSE_FLATTEN {
      const std::uint8_t* w = stage;
      std::size_t further = 0;
      if constexpr (!Source::kIsStaged) {
        w = Access::Codes(a, p, g * kGroupStride, g);
        further = Further<n>(a, p, w);
        Each<n>([&](auto j) QOMPOSE_FLATTEN { AskForGroup(w + j * panel_bytes + further, g); });
      }
      Columns::template Multiply<n, T, Source>(
          w, panel_bytes, x, count,
          [&](std::size_t m, std::size_t) QOMPOSE_FLATTEN { return hn::Set(DI(), start[m]); }, sum,
          {stage, stage_bytes}, further);
    };
    const auto add_group = [&](const VI(&sum)[T][n * kParts]) QOMPOSE_FLATTEN {
      VF scale[n * kParts];
      LoadScales<n>(a, p, g, scale);
      AddGroup<n, T>(a, p, tile, g, sum, scale, total);
    };
    // The compiler knows the number of columns but for the last group.
    for (; columns >= kGroupStride && !IsSingle(a); columns -= kGroupStride) {
      VI sum[T][n * kParts] = {};
      multiply(kGroupStride, sum);
      add_group(sum);
      x += kGroupStride / 4 * T * kCodeBytes;
      if constexpr (kUsesStage<Source>) stage += kGroupStride * kStageBytes;
      start += T;
      ++g;
    }
    if (columns == 0) return;
    VI sum[T][n * kParts] = {};
    multiply(columns, sum);
    if (!IsSingle(a)) return add_group(sum);
    Each<T>([&](auto m) QOMPOSE_FLATTEN {
      Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN { group[m][v] = sum[m][v]; });
    });
  }

  /// How much further on what follows codes at w is: near the end of n panels the next n follow,
  /// not those that are read beside.
  template <std::size_t n>
  static HWY_INLINE std::size_t Further(const Arguments& a, std::size_t p, const std::uint8_t* w) {
    const std::size_t bytes = a.weights.panel_bytes;
    const std::uint8_t* end = a.weights.panels + (p + 1) * bytes;
    return static_cast<std::size_t>(end - w) > kBytesToAskAhead ? 0 : (n - 1) * bytes;
  }

  /// Asks for what will be read after the codes of group g, which start at w.
  static HWY_INLINE void AskForGroup(const std::uint8_t* w, std::size_t g) {
    constexpr bool kIsAvx2 = HWY_TARGET == HWY_AVX2;
    // Two blocks took a fifth off the time of one token and weights in memory on Zen 3.
    constexpr std::size_t kAhead = kIsAvx2 ? 2 * Layout::block_bytes : kBytesToAskAhead;
    if (g % Layout::block_groups == 0) {
      AskAhead<Layout::head_bytes, kAhead>(w - Layout::head_bytes);
    }
    // Elsewhere whoever multiplies the codes asks for them.
    if constexpr (kIsAvx2) AskAhead<kGroupStride * Layout::column_bytes, kAhead>(w);
  }

  /// Scales of a group of n panels; where they are integers, these in the lanes of floats.
  template <std::size_t n>
  static HWY_INLINE void LoadScales(const Arguments& a, std::size_t p, std::size_t g,
                                    VF (&scale)[n * kParts]) {
    Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
      if constexpr (kIntegerScales) {
        scale[v] = hn::BitCast(DF(), Access::IntegerScale(a, p + v / kParts, g, v % kParts));
      } else {
        scale[v] = Access::Scale(a, p + v / kParts, g, v % kParts);
      }
    });
  }

  /// total += scale * sum (+ offset * sum of codes), for one group.
  /// @param scale  as LoadScales() gives them
  template <std::size_t n, std::size_t T>
  static HWY_INLINE void AddGroup(const Arguments& a, std::size_t p, std::size_t tile,
                                  std::size_t g, const VI (&sum)[T][n * kParts],
                                  const VF (&scale)[n * kParts], VF (&total)[T][n * kParts]) {
    const std::size_t at = (tile * a.geometry.groups + g) * T;
    if constexpr (kIntegerScales) {
      if (IsExact(a)) return AddIntegerGroup<n, T>(a, p, at, g, sum, scale, total);
    }
    Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
      VF by = scale[v];
      if constexpr (kIntegerScales) by = hn::ConvertTo(DF(), hn::BitCast(DI(), by));
      VF offset;
      if constexpr (kHasOffset) offset = Access::Offset(a, p + v / kParts, g, v % kParts);
      Each<T>([&](auto m) QOMPOSE_FLATTEN {
        VF value = hn::ConvertTo(DF(), sum[m][v]);
        VF x_scale;
        if constexpr (kGroupCodes) {
          x_scale = hn::Set(DF(), CodeScale<T>(a, tile, g)[m]);
          value = hn::Mul(value, x_scale);
        }
        total[m][v] = hn::MulAdd(value, by, total[m][v]);
        if constexpr (kHasOffset) {
          VF x_sum = hn::Set(DF(), a.x.sums[at + m]);
          if constexpr (kGroupCodes) x_sum = hn::Mul(x_sum, x_scale);
          total[m][v] = hn::MulAdd(offset, x_sum, total[m][v]);
        }
      });
    });
  }

  /// Whether rows are so short that integers hold the sums of all their groups.
  static HWY_INLINE bool IsExact(const Arguments& a) {
    return a.geometry.padded_cols <= Layout::exact_columns;
  }
  /// The same in integers, which stand in the lanes of `total`.
  template <std::size_t n, std::size_t T>
  static HWY_INLINE void AddIntegerGroup(const Arguments& a, std::size_t p, std::size_t at,
                                         std::size_t g, const VI (&sum)[T][n * kParts],
                                         const VF (&scale)[n * kParts],
                                         VF (&total)[T][n * kParts]) {
    Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
      const VI by = hn::BitCast(DI(), scale[v]);
      VI zero;
      if constexpr (kHasOffset) zero = Access::ZeroPoint(a, p + v / kParts, g, v % kParts);
      Each<T>([&](auto m) QOMPOSE_FLATTEN {
        VI value = sum[m][v];
        if constexpr (kHasOffset) {
          const VI codes = hn::Set(DI(), static_cast<std::int32_t>(a.x.sums[at + m]));
          value = hn::Sub(value, hn::Mul(zero, codes));
        }
        const VI before = hn::BitCast(DI(), total[m][v]);
        total[m][v] = hn::BitCast(DF(), hn::Add(before, hn::Mul(value, by)));
      });
    });
  }
  template <std::size_t T>
  static HWY_INLINE const float* CodeScale(const Arguments& a, std::size_t tile, std::size_t g) {
    return a.x.scales + (tile * a.code_groups + g / a.groups_a_code_scale) * T;
  }

  /// Whether the sums of the only group stay as they are to the end.
  static HWY_INLINE bool IsSingle(const Arguments& a) {
    if constexpr (!kScalesSums) return true;
    return a.geometry.groups == 1 && !kGroupCodes && !kIntegerScales;
  }

  /// The sum for a row of codes, all scales applied that groups have not.
  static HWY_INLINE VF Scaled(const Arguments& a, std::size_t p, std::size_t code_row,
                              std::size_t part, VI group, VF total) {
    if constexpr (kIntegerScales) {
      if (IsExact(a)) total = hn::ConvertTo(DF(), hn::BitCast(DI(), total));
    }
    VF row_scale;
    if constexpr (Layout::has_row_scales) row_scale = Access::RowScale(a, p, part);
    if constexpr (kGroupCodes) {
      if constexpr (Layout::has_row_scales) total = hn::Mul(total, row_scale);
      return total;
    } else {
      VF x_scale = hn::Set(DF(), a.x.scales[code_row]);
      if constexpr (Layout::has_row_scales) x_scale = hn::Mul(row_scale, x_scale);
      if (!IsSingle(a)) return hn::Mul(total, x_scale);
      const VF scale = Access::Scale(a, p, 0, part);
      total = hn::Mul(hn::ConvertTo(DF(), group), hn::Mul(scale, x_scale));
      if constexpr (kHasOffset) {
        const VF x_sum = hn::Mul(hn::Set(DF(), a.x.sums[code_row]), x_scale);
        total = hn::MulAdd(Access::Offset(a, p, 0, part), x_sum, total);
      }
      return total;
    }
  }

  /// Hands the results of a tile to `Output`.
  template <std::size_t n, std::size_t T>
  static HWY_INLINE void Finish(const Arguments& a, std::size_t p, std::size_t tile,
                                const Sums<n, T>& sums) {
    Each<T / kDigits>([&](auto m) QOMPOSE_FLATTEN {
      const std::size_t token = tile * (T / kDigits) + m;
      if (token >= a.n_tokens) return;
      Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
        const std::size_t row = (p + v / kParts) * panel_rows + (v % kParts) * N;
        if constexpr (kScalesSums) {
          const auto value = [&](std::size_t digit) QOMPOSE_FLATTEN {
            const std::size_t at = m * kDigits + digit;
            return Scaled(a, p + v / kParts, tile * T + at, v % kParts, sums.group[at][v],
                          sums.total[at][v]);
          };
          // The lowest digits first.
          VF sum = value(0);
          for (std::size_t digit = 1; digit < kDigits; ++digit) sum = hn::Add(sum, value(digit));
          Access::Finish(a, token, row, sum);
        } else {
          Output(a.output)(token, row, sums.group[m][v]);
        }
      });
    });
  }

  /// All columns of n panels, for one tile.
  template <std::size_t n, std::size_t T>
  static HWY_NOINLINE void Direct(const Arguments& shared, std::size_t p, std::size_t tile) {
    const Arguments a = shared;  // a copy, which stores of sums cannot change
    Sums<n, T> sums;
    // Sums of fields in their places hold so many products.
    constexpr std::size_t kMostColumns = std::size_t{1} << 16;
    // Those of a row without groups end where what follows is elsewhere, in whole units.
    constexpr std::size_t kLast =
        kBytesToAskAhead / Layout::column_bytes / Layout::step * Layout::step;
    for (std::size_t k = 0; k < a.geometry.padded_cols;) {
      const std::size_t left = a.geometry.padded_cols - k;
      const std::size_t rest = n > 1 && IsSingle(a) && left > kLast ? kLast : 0;
      const std::size_t columns = std::min(kMostColumns, left - rest);
      Stretch<n, T, FromPanel>(a, p, tile, k, columns, nullptr, sums);
      k += columns;
    }
    Finish<n, T>(a, p, tile, sums);
  }
  /// Panels [p, last), n at a time, and tiles [first, end).
  template <std::size_t n, std::size_t T>
  static HWY_INLINE void Tiles(const Arguments& a, std::size_t p, std::size_t last,
                               std::size_t first, std::size_t end) {
    for (; p < last; p += n) {
      for (std::size_t tile = first; tile < end; ++tile) Direct<n, T>(a, p, tile);
    }
  }

  /// Panels [first, last) and all tiles.
  template <std::size_t T>
  static HWY_INLINE void AllTiles(const Arguments& a, std::size_t first, std::size_t last) {
    const std::size_t whole = first + (last - first) / kPanels * kPanels;
    const std::size_t tiles = divide_up(a.n_tokens * kDigits, T);
    // Activations of a block stay in L2 while all panels pass by; blocks are about as large.
    const std::size_t block = divide_up(tiles, divide_up(tiles, kBlockTiles));
    for (std::size_t t = 0; t < tiles; t += block) {
      const std::size_t end = std::min(t + block, tiles);
      bool is_staged = false;
      if constexpr (kStages && T == kManyRows) {
        is_staged = tiles > kFewTiles;
        for (std::size_t p = first; is_staged && p < whole; p += kPanels) Block(a, p, t, end);
      }
      if (!is_staged) Tiles<kPanels, T>(a, first, whole, t, end);
      if (kPanels > 1) Tiles<1, T>(a, whole, last, t, end);
    }
  }

  /// Tiles [first, end), at most kBlockTiles, and kPanels panels.
  static HWY_NOINLINE void Block(const Arguments& shared, std::size_t p, std::size_t first,
                                 std::size_t end) {
    const Arguments a = shared;  // a copy, which stores of sums cannot change
    using ToStage = typename Columns::ToStage;
    using FromStage = typename Columns::FromStage;
    const panel_geometry& geometry = a.geometry;
    alignas(64) std::uint8_t stage[kPanels * kColumns * panel_rows * Product::kWeightBytes];
    Sums<kPanels, kManyRows> sums[kBlockTiles];
    for (std::size_t k = 0; k < geometry.padded_cols; k += kColumns) {
      const std::size_t columns = std::min(kColumns, geometry.padded_cols - k);
      Stretch<kPanels, kManyRows, ToStage>(a, p, first, k, columns, stage, sums[0]);
      for (std::size_t t = first + 1; t < end; ++t) {
        Stretch<kPanels, kManyRows, FromStage>(a, p, t, k, columns, stage, sums[t - first]);
      }
    }
    for (std::size_t t = first; t < end; ++t) {
      Finish<kPanels, kManyRows>(a, p, t, sums[t - first]);
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
