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

/// sum += a * b
HWY_INLINE void AddProduct(VF& sum, VF a, VF b) {
#if HWY_TARGET == HWY_AVX2 && HWY_COMPILER_GCC_ACTUAL
  // g++ moves broadcasts forward until there are more values than registers, and then keeps a sum
  // in memory, for which all products wait.
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
#else
  sum = hn::MulAdd(a, b, sum);
#endif
}

/// Products of rows of floats and panels of `Format`, [columns][16] numbers.
///
/// Called by its address for many thousand products at a time, and compiled once for all caches.
template <class Format>
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
                               std::size_t n_panels, std::size_t columns, const PanelSums& sums) {
    const auto* first = static_cast<const std::uint8_t*>(panels);
    std::size_t r = 0;
    if constexpr (std::is_same_v<Format, fp32> && kMany > kFew) {
      // More than two thirds of a tile are worth a tile.
      for (; r + kMany * 2 / 3 < rows.count; r += kMany) {
        for (std::size_t p = 0; p < n_panels; p += kWide) {
          Tile<kMany, kWide>(rows, r, first, panel_bytes, p, n_panels, columns, sums);
        }
      }
    }
    for (; r < rows.count; r += kFew) {
      for (std::size_t p = 0; p < n_panels; ++p) {
        if (r + 1 == rows.count) {
          Tile<1, 1>(rows, r, first, panel_bytes, p, n_panels, columns, sums);
        } else {
          Tile<kFew, 1>(rows, r, first, panel_bytes, p, n_panels, columns, sums);
        }
      }
    }
  }

 private:
  /// Rows and panels past the last ones are the last ones again.
  template <std::size_t kRows, std::size_t kPanels>
  static HWY_INLINE void Tile(const FloatRows& rows, std::size_t row, const std::uint8_t* panels,
                              std::size_t panel_bytes, std::size_t panel, std::size_t n_panels,
                              std::size_t columns, const PanelSums& sums) {
    constexpr std::size_t V = kPanels * kParts;
    // Few sums are split into chains that do not wait for each other.
    constexpr std::size_t kChains = kRows * V >= 8 ? 1 : kRows * V >= 4 ? 2 : 4;
    const float* a[kRows];
    std::size_t out_row[kRows];
    Each<kRows>([&](auto r) QOMPOSE_FLATTEN {
      const std::size_t at = std::min<std::size_t>(row + r, rows.count - 1);
      a[r] = rows.at + at * rows.stride;
      out_row[r] = at * sums.stride;
    });
    const std::uint8_t* b[kPanels];
    std::size_t index[kPanels];
    Each<kPanels>([&](auto p) QOMPOSE_FLATTEN {
      const std::size_t at = std::min<std::size_t>(panel + p, n_panels - 1);
      b[p] = panels + at * panel_bytes;
      index[p] = at;
    });

    VF sum[kChains][kRows][V];
    Each<kChains>([&](auto c) QOMPOSE_FLATTEN {
      Each<kRows>([&](auto r) QOMPOSE_FLATTEN {
        Each<V>([&](auto v) QOMPOSE_FLATTEN { sum[c][r][v] = hn::Zero(DF()); });
      });
    });
    for (std::size_t k = 0; k < columns; k += 4) {
      Unroll<4>([&](auto j) QOMPOSE_FLATTEN {
        constexpr std::size_t c = decltype(j)::value % kChains;
        VF column[V];
        Each<V>([&](auto v) QOMPOSE_FLATTEN {
          const std::size_t at = (k + j) * panel_rows + v % kParts * N;
          column[v] = LoadFloats<Format>(b[v / kParts] + at * kFormatBytes<Format>);
        });
        Each<kRows>([&](auto r) QOMPOSE_FLATTEN {
          const VF number = hn::Set(DF(), a[r][k + j]);
          Each<V>([&](auto v) QOMPOSE_FLATTEN { AddProduct(sum[c][r][v], number, column[v]); });
        });
      });
    }

    const auto place = [&](auto r, auto v) QOMPOSE_FLATTEN {
      return sums.out + out_row[r] + index[v / kParts] * sums.apart + v % kParts * N;
    };
    const auto each_sum = [&](auto&& use) QOMPOSE_FLATTEN {
      Each<kRows>([&](auto r) QOMPOSE_FLATTEN {
        Each<V>([&](auto v) QOMPOSE_FLATTEN { use(r, v, sum[0][r][v]); });
      });
    };
    Unroll<kChains>([&](auto c) QOMPOSE_FLATTEN {
      if constexpr (decltype(c)::value > 0) {
        each_sum([&](auto r, auto v, VF& total)
                     QOMPOSE_FLATTEN { total = hn::Add(total, sum[c][r][v]); });
      }
    });
    if (sums.factors != nullptr) {
      each_sum([&](auto, auto v, VF& total) QOMPOSE_FLATTEN {
        const float* factors = sums.factors + index[v / kParts] * panel_rows + v % kParts * N;
        total = hn::Mul(total, hn::LoadU(DF(), factors));
      });
    }
    // All before the first is stored, as a row may be there twice.
    if (sums.adds) {
      each_sum([&](auto r, auto v, VF& total)
                   QOMPOSE_FLATTEN { total = hn::Add(hn::LoadU(DF(), place(r, v)), total); });
    }
    each_sum([&](auto r, auto v, VF& total)
                 QOMPOSE_FLATTEN { hn::StoreU(total, DF(), place(r, v)); });
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
