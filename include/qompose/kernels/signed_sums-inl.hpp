// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Rows of floats mixed by a matrix of 1 and -1, with a quarter of its additions.

#if defined(QOMPOSE_KERNELS_SIGNED_SUMS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_SIGNED_SUMS_INL_HPP_
#undef QOMPOSE_KERNELS_SIGNED_SUMS_INL_HPP_
#else
#define QOMPOSE_KERNELS_SIGNED_SUMS_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/kernels/simd-inl.hpp"
#include "qompose/transforms/hadamard_matrix.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Y = H X for a matrix H of 1 and -1 and rows of floats.
///
/// Four rows of X have sixteen signed sums, of which every row of H takes one. They are made first
/// and then looked up: order / 4 additions an element and 26 for each four rows (the "four
/// Russians" way to multiply by a matrix of few values). Additions are in the order that
/// transforms/hadamard.hpp states.
struct SignedSums {
  /// @param signs   [order, order / 4], bit k of byte [i, g] set where H[i][4 g + k] is -1
  /// @param order   a multiple of 4, at most 256
  /// @param rows    [order, width], replaced by the results
  /// @param width   a multiple of N
  /// @param factor  what the sums are multiplied by
  static void Run(const std::uint8_t* signs, std::size_t order, float* rows, std::size_t width,
                  float factor) {
    // Two vectors a step use whole cache lines, and a sign twice.
    std::size_t c = 0;
    for (; c + 2 * N <= width; c += 2 * N) Columns<2>(signs, order, rows + c, width, factor);
    if (c < width) Columns<1>(signs, order, rows + c, width, factor);
  }

 private:
  static constexpr std::size_t kMostOrder = detail::hadamard_matrix::largest_order;
  /// Fours of rows whose sums are at hand together, so that they stay in L1.
  static constexpr std::size_t kFours = 16;

  /// The next kVectors vectors of every row.
  template <std::size_t kVectors>
  static void Columns(const std::uint8_t* signs, std::size_t order, float* rows, std::size_t width,
                      float factor) {
    constexpr std::size_t kStep = kVectors * N;
    alignas(64) float sums[kMostOrder * kStep];
    alignas(64) float table[kFours * 16 * kStep];
    const std::size_t fours = order / 4;
    for (std::size_t first = 0; first < fours; first += kFours) {
      const std::size_t count = std::min(kFours, fours - first);
      for (std::size_t g = 0; g < count; ++g) {
        Unroll<kVectors>([&](auto part) QOMPOSE_FLATTEN {
          Sixteen<kStep>(rows + 4 * (first + g) * width + part * N, width,
                         table + g * 16 * kStep + part * N);
        });
      }
      for (std::size_t i = 0; i < order; ++i) {
        VF sum[kVectors];
        Unroll<kVectors>([&](auto part) QOMPOSE_FLATTEN {
          sum[part] = first == 0 ? hn::Zero(DF()) : hn::Load(DF(), sums + i * kStep + part * N);
        });
        const std::uint8_t* at = signs + i * fours + first;
        for (std::size_t g = 0; g < count; ++g) {
          const float* entry = table + (g * 16 + at[g]) * kStep;
          Unroll<kVectors>([&](auto part) QOMPOSE_FLATTEN {
            sum[part] = hn::Add(sum[part], hn::Load(DF(), entry + part * N));
          });
        }
        Unroll<kVectors>([&](auto part) QOMPOSE_FLATTEN {
          hn::Store(sum[part], DF(), sums + i * kStep + part * N);
        });
      }
    }
    const VF by = hn::Set(DF(), factor);
    for (std::size_t i = 0; i < order; ++i) {
      Unroll<kVectors>([&](auto part) QOMPOSE_FLATTEN {
        const VF sum = hn::Load(DF(), sums + i * kStep + part * N);
        hn::StoreU(hn::Mul(sum, by), DF(), rows + i * width + part * N);
      });
    }
  }

  /// (+-x0 +- x1) + (+-x2 +- x3), bit k of the index set for -xk.
  template <std::size_t kStep>
  static HWY_INLINE void Sixteen(const float* x, std::size_t stride, float* out) {
    const VF x0 = hn::LoadU(DF(), x);
    const VF x1 = hn::LoadU(DF(), x + stride);
    const VF x2 = hn::LoadU(DF(), x + 2 * stride);
    const VF x3 = hn::LoadU(DF(), x + 3 * stride);
    const VF low[4] = {hn::Add(x0, x1), hn::Sub(x1, x0), hn::Sub(x0, x1), hn::Sub(hn::Neg(x0), x1)};
    const VF high[4] = {hn::Add(x2, x3), hn::Sub(x3, x2), hn::Sub(x2, x3),
                        hn::Sub(hn::Neg(x2), x3)};
    Unroll<16>([&](auto k) QOMPOSE_FLATTEN {
      hn::Store(hn::Add(low[k % 4], high[k / 4]), DF(), out + k * kStep);
    });
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
