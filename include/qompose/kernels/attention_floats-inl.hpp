// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Float products of attention: rows of queries or weights meet columns of a panel.

#if defined(QOMPOSE_KERNELS_ATTENTION_FLOATS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ATTENTION_FLOATS_INL_HPP_
#undef QOMPOSE_KERNELS_ATTENTION_FLOATS_INL_HPP_
#else
#define QOMPOSE_KERNELS_ATTENTION_FLOATS_INL_HPP_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/kernels/decode_panel-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/packing/cache_block.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Panels of `Codes` as floats, [columns][16], scales not applied.
template <class Codes>
struct FloatPanel {
  using Element = typename Codes::element;
  static constexpr bool kPlain = detail::is_plain_float<Element>;
  /// Whether products take panels as they lie in memory.
  static constexpr bool kInPlace = std::is_same_v<Element, fp32>;

  /// @param entries  of a codebook that all tokens share, or null
  HWY_INLINE explicit FloatPanel(const float* entries) : decode_(entries) {}

  /// Columns [0, columns) of a panel, a multiple of the step.
  HWY_INLINE void Decode(const std::uint8_t* panel, std::size_t columns, float* out) const {
    for (std::size_t k = 0; k < columns; k += Codes::step) {
      Unroll<kParts>([&](auto part) QOMPOSE_FLATTEN {
        decode_.Unit(panel + k * Codes::column_bytes, part, nullptr,
                     [&](auto column, VF values) QOMPOSE_FLATTEN {
                       hn::StoreU(values, DF(), out + (k + column) * panel_rows + part * N);
                     });
      });
    }
  }
  /// What Decode makes has to be divided by it.
  static constexpr float kFactor = DecodePanel<Codes>::kFactor;

 private:
  DecodePanel<Codes> decode_;
};

/// Panels that are decoded at a time: they and the rows they meet share the first cache.
constexpr std::size_t kDecodedPanels = 2;

/// Rows that meet panels, `stride` numbers apart.
struct FloatRows {
  const float* at = nullptr;
  std::size_t stride = 0;
  std::size_t count = 0;
};

/// Where sums of products go: lane i of panel p and row r to out[r * stride + p * apart + i].
struct PanelSums {
  float* out = nullptr;
  std::size_t stride = 0;
  const float* factors = nullptr;  ///< what sums are multiplied by, [panels][16], or null
  bool adds = false;               ///< to what is there
  std::size_t apart = panel_rows;
};

/// What will be read after the panels at hand. Products ask for its lines, a few at a time, as
/// memory takes no more requests than that at once.
class NextLines {
 public:
  HWY_INLINE NextLines() {}
  /// n runs of bytes, `apart` bytes from start to start
  HWY_INLINE NextLines(const std::uint8_t* at, std::size_t n, std::size_t apart, std::size_t bytes)
      : at_(at),
        lines_(divide_up(bytes, kLine)),
        apart_(apart),
        in_run_(lines_),
        left_(n * lines_) {}

  /// Says in how many pieces of work all lines are to be asked for.
  HWY_INLINE void Divide(std::size_t pieces) { share_ = divide_up(left_, pieces); }
  /// Lines that each of `times` parts of a piece asks for.
  [[nodiscard]] HWY_INLINE std::size_t Share(std::size_t times) const {
    return left_ == 0 ? 0 : divide_up(share_, times);
  }
  HWY_INLINE void Ask(std::size_t count) {
    count = std::min(count, left_);
    left_ -= count;
    while (count > 0) {
      const std::size_t here = std::min(count, in_run_);
      for (std::size_t i = 0; i < here; ++i) hwy::Prefetch(at_ + i * kLine);
      at_ += here * kLine;
      count -= here;
      in_run_ -= here;
      if (in_run_ == 0) {
        in_run_ = lines_;
        at_ += apart_ - lines_ * kLine;
      }
    }
  }

 private:
  static constexpr std::size_t kLine = 64;
  const std::uint8_t* at_ = nullptr;
  std::size_t lines_ = 0;
  std::size_t apart_ = 0;
  std::size_t in_run_ = 0;
  std::size_t left_ = 0;
  std::size_t share_ = 0;
};

/// sum += a * b
HWY_INLINE void AddProduct(VF& sum, VF a, VF b) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2 && HWY_COMPILER_GCC_ACTUAL
  // g++ moves broadcasts forward until there are more values than registers, and then keeps a sum
  // in memory, for which all products wait; or moves sums between registers.
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
#else
  sum = hn::MulAdd(a, b, sum);
#endif
}

/// Products of rows of floats and panels of `Format`, [columns][16] numbers.
///
/// Called by its address for many thousand products at a time, and compiled once for all caches.
/// @tparam kSpread  whether columns of a panel are not side by side, but `column_apart` apart
template <class Format, bool kSpread = false>
class FloatProducts {
  /// Rows and panels that have a sum in registers for every lane.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static constexpr std::size_t kMany = 12;
#elif (HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2) || HWY_ARCH_ARM_A64
  static constexpr std::size_t kMany = 6;
#else
  static constexpr std::size_t kMany = 2;
#endif
  static constexpr std::size_t kWide = kParts == 1 ? 2 : 1;

 public:
  /// Rows up to which panels are read but once, so that they need not be floats.
  static constexpr std::size_t kFew = std::min<std::size_t>(4, kMany);

  /// @param panel_bytes  from panel to panel
  /// @param columns      a multiple of 4
  static HWY_NOINLINE void Run(const FloatRows& rows, const void* panels, std::size_t panel_bytes,
                               std::size_t n_panels, std::size_t columns, const PanelSums& sums,
                               NextLines& next, std::size_t column_apart = panel_rows) {
    const Panels all{static_cast<const std::uint8_t*>(panels), panel_bytes, n_panels, columns,
                     column_apart};
    std::size_t r = 0;
    if constexpr (std::is_same_v<Format, fp32> && !kSpread && kMany > kFew) {
      // More than two thirds of a tile are worth a tile.
      const std::size_t share = next.Share(divide_up(rows.count, kMany));
      for (; r + kMany * 2 / 3 < rows.count; r += kMany) {
        Tile<kMany, kWide>::Run(rows, r, all, sums, next, share);
      }
    }
    const std::size_t share = next.Share(divide_up(rows.count, kFew));
    for (; r < rows.count; r += kFew) {
      if (r + 1 == rows.count) {
        Tile<1, kWide>::Run(rows, r, all, sums, next, share);
      } else {
        Tile<kFew, kWide>::Run(rows, r, all, sums, next, share);
      }
    }
  }
  /// The same with nothing to ask for.
  static HWY_INLINE void Run(const FloatRows& rows, const void* panels, std::size_t panel_bytes,
                             std::size_t n_panels, std::size_t columns, const PanelSums& sums) {
    NextLines none;
    Run(rows, panels, panel_bytes, n_panels, columns, sums, none);
  }

 private:
  struct Panels {
    const std::uint8_t* at;
    std::size_t apart;
    std::size_t count;
    std::size_t columns;
    std::size_t column_apart;
  };

  /// kRows rows meet all panels, kPanels at a time. Rows and panels past the last ones are the last
  /// ones again.
  template <std::size_t kRows, std::size_t kPanels>
  class Tile {
    static constexpr std::size_t V = kPanels * kParts;
    // Few sums are split into chains that do not wait for each other.
    static constexpr std::size_t kChains = kRows * V >= 8 ? 1 : kRows * V >= 4 ? 2 : 4;
    /// Columns after which memory is asked for more.
    static constexpr std::size_t kStretch = 16;

   public:
    static HWY_NOINLINE void Run(const FloatRows& rows, std::size_t row, const Panels& panels,
                                 const PanelSums& sums, NextLines& next, std::size_t share) {
      const float* a[kRows];
      float* out[kRows];
      for (std::size_t r = 0; r < kRows; ++r) {
        const std::size_t at = std::min(row + r, rows.count - 1);
        a[r] = rows.at + at * rows.stride;
        out[r] = sums.out + at * sums.stride;
      }
      for (std::size_t p = 0; p < panels.count; p += kPanels) {
        const std::uint8_t* b[kPanels];
        std::size_t index[kPanels];
        for (std::size_t i = 0; i < kPanels; ++i) {
          index[i] = std::min(p + i, panels.count - 1);
          b[i] = panels.at + index[i] * panels.apart;
        }
        VF sum[kRows][V];
        Multiply(a, b, panels.columns, kSpread ? panels.column_apart : panel_rows, next,
                 share * kPanels, sum);
        Leave(sum, sums, out, index);
      }
    }

   private:
    static HWY_INLINE void Multiply(const float* const (&rows)[kRows],
                                    const std::uint8_t* const (&panels)[kPanels],
                                    std::size_t columns, std::size_t apart, NextLines& next,
                                    std::size_t share, VF (&total)[kRows][V]) {
      // In registers.
      const float* a[kRows];
      Each<kRows>([&](auto r) QOMPOSE_FLATTEN { a[r] = rows[r]; });
      const std::uint8_t* b[kPanels];
      Each<kPanels>([&](auto p) QOMPOSE_FLATTEN { b[p] = panels[p]; });
      VF sum[kChains][kRows][V];
      Each<kChains>([&](auto c) QOMPOSE_FLATTEN {
        Each<kRows>([&](auto r) QOMPOSE_FLATTEN {
          Each<V>([&](auto v) QOMPOSE_FLATTEN { sum[c][r][v] = hn::Zero(DF()); });
        });
      });
      const std::size_t asks = divide_up(share * kStretch, columns);
      for (std::size_t k = 0; k < columns;) {
        next.Ask(asks);
        const std::size_t stop = std::min(columns, k + kStretch);
        for (; k < stop; k += 4) {
          Unroll<4>([&](auto j) QOMPOSE_FLATTEN {
            constexpr std::size_t c = decltype(j)::value % kChains;
            VF column[V];
            Each<V>([&](auto v) QOMPOSE_FLATTEN {
              const std::size_t at = (k + j) * apart + v % kParts * N;
              column[v] = LoadFloats<Format>(b[v / kParts] + at * kFormatBytes<Format>);
            });
            Each<kRows>([&](auto r) QOMPOSE_FLATTEN {
              const VF number = hn::Set(DF(), a[r][k + j]);
              Each<V>([&](auto v) QOMPOSE_FLATTEN { AddProduct(sum[c][r][v], number, column[v]); });
            });
          });
        }
      }
      Each<kRows>([&](auto r) QOMPOSE_FLATTEN {
        Each<V>([&](auto v) QOMPOSE_FLATTEN {
          total[r][v] = sum[0][r][v];
          Unroll<kChains - 1>([&](auto c) QOMPOSE_FLATTEN {
            total[r][v] = hn::Add(total[r][v], sum[c + 1][r][v]);
          });
        });
      });
    }

    static HWY_INLINE void Leave(VF (&sum)[kRows][V], const PanelSums& sums,
                                 float* const (&out)[kRows], const std::size_t (&index)[kPanels]) {
      const auto each_sum = [&](auto&& use) QOMPOSE_FLATTEN {
        Each<V>([&](auto v) QOMPOSE_FLATTEN {
          const std::size_t lane = v % kParts * N;
          const std::size_t place = index[v / kParts] * sums.apart + lane;
          Each<kRows>([&](auto r) QOMPOSE_FLATTEN { use(v, sum[r][v], out[r] + place); });
        });
      };
      if (sums.factors != nullptr) {
        each_sum([&](auto v, VF& total, float*) QOMPOSE_FLATTEN {
          const float* factors = sums.factors + index[v / kParts] * panel_rows + v % kParts * N;
          total = hn::Mul(total, hn::LoadU(DF(), factors));
        });
      }
      // All before the first is stored, as a row or panel may be there twice.
      if (sums.adds) {
        each_sum([&](auto, VF& total, const float* at)
                     QOMPOSE_FLATTEN { total = hn::Add(hn::LoadU(DF(), at), total); });
      }
      each_sum([&](auto, VF& total, float* at) QOMPOSE_FLATTEN { hn::StoreU(total, DF(), at); });
    }
  };
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
