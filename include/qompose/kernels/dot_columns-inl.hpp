// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief The micro-kernel of integer products: codes of a few tokens meet columns of a few panels.

#if defined(QOMPOSE_KERNELS_DOT_COLUMNS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_DOT_COLUMNS_INL_HPP_
#undef QOMPOSE_KERNELS_DOT_COLUMNS_INL_HPP_
#else
#define QOMPOSE_KERNELS_DOT_COLUMNS_INL_HPP_
#endif

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/kernels/dot-inl.hpp"
#include "qompose/kernels/fields-inl.hpp"
#include "qompose/kernels/interleave-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Dot products over columns of panels of `Layout`, all of one group.
/// @tparam kUnsignedCodes  whether all codes are in 0 .. 127
template <class Layout, bool kUnsignedCodes = false>
struct DotColumns {
  using Element = typename Layout::element;
  using Image = integer_image<Element>;
  using Product = typename DotOf<Image::most_raised, kUnsignedCodes>::type;
  static constexpr std::size_t kCodeBytes = Product::kCodeBytes;

  /// Quads multiplied without a branch in between: a whole run of sums of 16 bits on AVX2;
  /// elsewhere loops cost next to nothing, and unrolled ones much to compile.
  static constexpr std::size_t kUnrolledQuads = HWY_TARGET == HWY_AVX2 ? 8 : 2;
  /// The same for sums of any number of products, which a layout may ask to keep short.
  static constexpr std::size_t kEndlessQuads =
      requires { Layout::keeps_loops_short; } ? 2 : kUnrolledQuads;
  /// Rows of codes that registers have chains for, one for each place of a field.
  static constexpr std::size_t kMostRowsInPlace = 3;

  /// Weights unpacked in registers.
  struct FromPanel {
    static constexpr bool kIsStaged = false, kKeeps = false;
    static constexpr std::size_t kQuads = Fields<Layout>::kQuads;
    static constexpr std::size_t kBytes = Fields<Layout>::kUnitBytes;
    /// Whether a shift and a mask, or either, make of fields what products take.
    static constexpr bool kIsShifted =
        Fields<Layout>::kIsOneBlock && Image::field_shift != Image::no_shift;
    static constexpr bool kHasPlaces =
        kIsShifted && Image::field_shift % Element::bits == 0 && Product::kTakesAnyByte;
    /// How far above its place in the product a field lies in its byte.
    template <std::size_t quad>
    static constexpr int kPlace = Fields<Layout>::template kPlace<quad> - Image::field_shift;
    /// The quad whose fields lie just there.
    static constexpr std::size_t kUnmoved =
        static_cast<std::size_t>(std::max(Image::field_shift, 0)) / Element::bits;
    template <std::size_t quad>
    static HWY_INLINE typename Product::Weights Get(const std::uint8_t* w, std::size_t part) {
      if constexpr (kIsShifted) {
        return Product::Prepare(Fields<Layout>::template Get<quad, Image::field_shift>(w, part));
      } else {
        return Product::Prepare(Raise<Element>::Run(Fields<Layout>::template Get<quad>(w, part)));
      }
    }
  };
  /// The same, kept for @ref FromStage on the way.
  struct ToStage : FromPanel {
    static constexpr bool kKeeps = true, kHasPlaces = false;
  };
  /// Weights unpacked before.
  struct FromStage {
    static constexpr bool kIsStaged = true, kKeeps = false;
    static constexpr std::size_t kQuads = 1;
    static constexpr std::size_t kBytes = 64 * Product::kWeightBytes;
    static constexpr bool kHasPlaces = false;
    template <std::size_t>
    static HWY_INLINE typename Product::Weights Get(const std::uint8_t* w, std::size_t part) {
      return Product::LoadWeights(w + part * 4 * N * Product::kWeightBytes);
    }
  };

  /// Whether many tokens share weights unpacked once: bytes need no unpacking where they are
  /// multiplied as they are, and single planes take so little that a native product hides it.
  static constexpr bool kStages =
      (Layout::width != code_width::byte || Product::kWeightBytes != 1) && !FromPanel::kHasPlaces;
  /// Bytes of a column unpacked.
  static constexpr std::size_t kStageBytes = FromStage::kBytes / 4;
  /// What makes a tile of rows of codes.
  template <std::size_t kWidth>
  using Tile = InterleaveCodes<kWidth, kCodeBytes>;

  /// Where weights of the panels are kept, from the columns at hand on.
  struct Stage {
    std::uint8_t* at = nullptr;
    std::size_t panel_bytes = 0;
  };

  /// One quad of columns of n panels meets the codes of T tokens at x.
  /// @tparam starts  whether `sums` begin here
  template <std::size_t n, std::size_t T, class Source, std::size_t quad, bool starts>
  static HWY_INLINE void AddQuad(const std::uint8_t* w, std::size_t panel_bytes,
                                 const std::int8_t* x, const Stage& stage,
                                 typename Product::Partial (&sums)[T][n * kParts]) {
    typename Product::Weights weights[n * kParts];
    Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
      weights[v] = Source::template Get<quad>(w + (v / kParts) * panel_bytes, v % kParts);
      if constexpr (Source::kKeeps) {
        Product::StoreWeights(weights[v], stage.at + (v / kParts) * stage.panel_bytes +
                                              quad * FromStage::kBytes +
                                              v % kParts * 4 * N * Product::kWeightBytes);
      }
    });
    Each<T>([&](auto m) QOMPOSE_FLATTEN {
      const typename Product::Codes codes = Product::LoadCodes(x + (quad * T + m) * kCodeBytes);
      Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
        if constexpr (starts) {
          Product::First(sums[m][v], weights[v], codes);
        } else {
          Product::Add(sums[m][v], weights[v], codes);
        }
      });
    });
  }

  /// sums / 2^kBits, which is exact.
  template <int kBits>
  static HWY_INLINE VI MovedDown(VI sums) {
    if constexpr (kBits < 0) return hn::ShiftLeft<-kBits>(sums);
    if constexpr (kBits >= 0) return hn::ShiftRight<kBits>(sums);
  }

  /// The same for all quads of a unit, each to a chain of its own, whose products are those that it
  /// should have times 2^kPlace: a mask instead of a shift and a mask, and a load for all quads.
  template <std::size_t n, std::size_t T, class Source>
  static HWY_INLINE void AddUnitInPlace(const std::uint8_t* w, std::size_t panel_bytes,
                                        const std::int8_t* x, VI (*chain)[T][n * kParts]) {
    UBytes block[n * kParts];
    Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
      block[v] = InRegister(LoadBytes(w + (v / kParts) * panel_bytes + v % kParts * 4 * N));
    });
    Unroll<Source::kQuads>([&](auto quad) QOMPOSE_FLATTEN {
      Each<T>([&](auto m) QOMPOSE_FLATTEN {
        const typename Product::Codes codes = Product::LoadCodes(x + (quad * T + m) * kCodeBytes);
        Each<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
          Product::Add(chain[quad][m][v],
                       Product::Prepare(Fields<Layout>::template InPlace<quad>(block[v])), codes);
        });
      });
    });
  }

  /// The place of the columns after so many quads.
  template <class Source, std::size_t quads>
  static HWY_INLINE Stage After(Stage stage) {
    if constexpr (Source::kKeeps) stage.at += quads * FromStage::kBytes;
    return stage;
  }

  /// Adds partial sums to whole ones.
  template <class Partial, std::size_t T, std::size_t kV>
  static HWY_INLINE void Flush(const Partial (&partial)[T][kV], VI (&sum)[T][kV]) {
    Each<T>([&](auto m) QOMPOSE_FLATTEN {
      Each<kV>([&](auto v)
                   QOMPOSE_FLATTEN { sum[m][v] = Product::Flush(sum[m][v], partial[m][v]); });
    });
  }

  /// sum[m][v] = start(m, v) + the dot products of `columns` columns.
  /// @param stage    where they are kept, if `Source` keeps them
  /// @param further  how much further on than others weights are asked for
  ///
  /// Units follow each other without a branch where that helps: short loops spend their time on
  /// moving sums between registers.
  template <std::size_t n, std::size_t T, class Source, class Start>
  static HWY_INLINE void Multiply(const std::uint8_t* w, std::size_t panel_bytes,
                                  const std::int8_t* x, std::size_t columns, Start&& start,
                                  VI (&sum)[T][n * kParts], Stage stage = {},
                                  std::size_t further = 0) {
    using Partial = typename Product::Partial;
    constexpr std::size_t kV = n * kParts;
    constexpr std::size_t kQuads = Source::kQuads;
    constexpr std::size_t kRun = Product::kRun;
    constexpr std::size_t kCodes = kQuads * T * kCodeBytes;
    std::size_t units = columns / 4 / kQuads;

    const auto each_sum = [](auto&& use) QOMPOSE_FLATTEN {
      Each<T>([&](auto m)
                  QOMPOSE_FLATTEN { Each<kV>([&](auto v) QOMPOSE_FLATTEN { use(m, v); }); });
    };
    const auto set_start = [&]() QOMPOSE_FLATTEN {
      each_sum([&](std::size_t m, std::size_t v) QOMPOSE_FLATTEN { sum[m][v] = start(m, v); });
    };

    if constexpr (kRun == kEndlessRun) {
      // Sums of products are int32 from the first on, and each product waits for the sum before it:
      // few sums are split into chains that do not wait for each other.
      constexpr bool kInPlace = Source::kHasPlaces && T <= kMostRowsInPlace;
      // Groups that are short end sooner than chains pay.
      constexpr std::size_t kMost = Layout::most_group_columns <= 64 ? 2 : 4;
      constexpr std::size_t kSpread = T * kV > 4 ? 1 : T * kV == 1 ? kMost : 2;
      constexpr std::size_t kChains = kInPlace ? std::max(kSpread, kQuads) : kSpread;
      constexpr std::size_t kBlock =
          std::max<std::size_t>(1, std::max(kEndlessQuads, kChains) / kQuads);
      // The first value belongs to a chain whose sum stays as it is.
      constexpr std::size_t kFirst = [] {
        if constexpr (kInPlace) return Source::kUnmoved;
        return std::size_t{0};
      }();
      VI chain[kChains][T][kV];
      Each<kChains>([&](auto c) QOMPOSE_FLATTEN {
        each_sum([&](std::size_t m, std::size_t v) QOMPOSE_FLATTEN {
          chain[c][m][v] = c == kFirst ? start(m, v) : hn::Zero(DI());
        });
      });
      // Only one row and whole bytes of long groups are so little work that the processor's own
      // prefetchers keep up.
      constexpr bool kAsksAhead = !Source::kIsStaged && (Layout::width != code_width::byte ||
                                                         Layout::most_group_columns <= 64 || T > 1);
      const auto add_units = [&](auto count) QOMPOSE_FLATTEN {
        Unroll<decltype(count)::value>([&](auto u) QOMPOSE_FLATTEN {
          if constexpr (kAsksAhead) {
            Unroll<n>([&](auto j) QOMPOSE_FLATTEN {
              AskAhead<Source::kBytes>(w + j * panel_bytes + further + u * Source::kBytes);
            });
          }
          if constexpr (kInPlace) {
            AddUnitInPlace<n, T, Source>(w + u * Source::kBytes, panel_bytes, x + u * kCodes,
                                         &chain[u * kQuads % kChains]);
          } else {
            Unroll<kQuads>([&](auto quad) QOMPOSE_FLATTEN {
              AddQuad<n, T, Source, decltype(quad)::value, false>(
                  w + u * Source::kBytes, panel_bytes, x + u * kCodes,
                  After<Source, u * kQuads>(stage), chain[(u * kQuads + quad) % kChains]);
            });
          }
        });
        w += count * Source::kBytes;
        x += count * kCodes;
        stage = After<Source, count * kQuads>(stage);
        units -= count;
      };
      while (units >= kBlock) add_units(std::integral_constant<std::size_t, kBlock>());
      if constexpr (kBlock > 1) {
        while (units > 0) add_units(std::integral_constant<std::size_t, 1>());
      }
      Unroll<kChains>([&](auto c) QOMPOSE_FLATTEN {
        each_sum([&](std::size_t m, std::size_t v) QOMPOSE_FLATTEN {
          VI part = chain[c][m][v];
          if constexpr (kInPlace) part = MovedDown<Source::template kPlace<c % kQuads>>(part);
          sum[m][v] = c == 0 ? part : hn::Add(sum[m][v], part);
        });
      });
    } else if constexpr (kRun < kQuads) {
      // A unit is longer than a run.
      set_start();
      for (; units > 0; --units, w += Source::kBytes, x += kCodes) {
        Partial partial[T][kV];
        Unroll<kQuads>([&](auto quad) QOMPOSE_FLATTEN {
          AddQuad<n, T, Source, decltype(quad)::value, quad % kRun == 0>(w, panel_bytes, x, stage,
                                                                         partial);
          if constexpr ((quad + 1) % kRun == 0 || quad + 1 == kQuads) Flush(partial, sum);
        });
        stage = After<Source, kQuads>(stage);
      }
    } else {
      // Weights in memory took a sixth less time on Zen 3 with lines asked for ahead, one at a
      // time. Whoever multiplies short groups asks for them himself.
      constexpr bool kAsksAhead = HWY_TARGET == HWY_AVX2 && n == 1 && !Source::kIsStaged &&
                                  (T == 1 || Source::kKeeps) && Layout::most_group_columns > 64;
      constexpr std::size_t kAhead = 1280;
      // A power of two, so that runs end where groups do, of which none is longer than this.
      constexpr std::size_t kMost =
          round_up(std::min(Layout::most_group_columns, std::size_t{1024}), Layout::step) / 4;
      constexpr std::size_t kUnits =
          std::bit_floor(std::min({kRun, kUnrolledQuads, kMost}) / kQuads);
      bool is_first = true;
      // `count` units, or as many of them as are left.
      const auto run = [&](auto count, std::size_t times) QOMPOSE_FLATTEN {
        Partial partial[T][kV];
        constexpr bool kAsks = kAsksAhead && decltype(count)::value > 1;
        if constexpr (decltype(count)::value == 1) {
          each_sum([&](std::size_t m, std::size_t v)
                       QOMPOSE_FLATTEN { partial[m][v] = Product::Start(); });
        }
        for (std::size_t i = 0; i < times; ++i, w += count * Source::kBytes, x += count * kCodes) {
          Unroll<decltype(count)::value>([&](auto u) QOMPOSE_FLATTEN {
            if constexpr (kAsks) AskAhead<Source::kBytes, kAhead>(w + u * Source::kBytes);
            Unroll<kQuads>([&](auto quad) QOMPOSE_FLATTEN {
              constexpr bool kStarts = decltype(count)::value > 1 && u + quad == 0;
              AddQuad<n, T, Source, decltype(quad)::value, kStarts>(
                  w + u * Source::kBytes, panel_bytes, x + u * kCodes,
                  After<Source, u * kQuads>(stage), partial);
            });
          });
          stage = After<Source, count * kQuads>(stage);
        }
        // Only now, so that the sums take no registers during the first run.
        if (is_first) set_start();
        is_first = false;
        Flush(partial, sum);
        units -= count * times;
      };
      if constexpr (kUnits > 1) {
        while (units >= kUnits) run(std::integral_constant<std::size_t, kUnits>(), 1);
      }
      while (units > 0) {
        run(std::integral_constant<std::size_t, 1>(), std::min(units, kRun / kQuads));
      }
      if (is_first) set_start();
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
