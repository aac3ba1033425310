// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief The small maps of a decoder block: norm, rotary embedding, gate, residual.

#if defined(QOMPOSE_KERNELS_ELEMENTWISE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ELEMENTWISE_INL_HPP_
#undef QOMPOSE_KERNELS_ELEMENTWISE_INL_HPP_
#else
#define QOMPOSE_KERNELS_ELEMENTWISE_INL_HPP_
#endif

#include <hwy/contrib/math/math-inl.h>

#include <cmath>
#include <cstddef>

#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Maps of one row each.
struct Elementwise {
  /// y = x / rms(x) * gain
  static void RmsNorm(const float* HWY_RESTRICT x, const float* HWY_RESTRICT gain, float epsilon,
                      float* HWY_RESTRICT y, std::size_t n) {
    VF sum = hn::Zero(DF());
    std::size_t i = 0;
    for (; i + N <= n; i += N) {
      const VF v = hn::LoadU(DF(), x + i);
      sum = hn::MulAdd(v, v, sum);
    }
    if (i < n) {
      const VF v = LoadFirst(x + i, n - i);
      sum = hn::MulAdd(v, v, sum);
    }
    const float mean = hn::GetLane(hn::SumOfLanes(DF(), sum)) / static_cast<float>(n);
    const VF factor = hn::Set(DF(), 1.0f / std::sqrt(mean + epsilon));
    for (i = 0; i < n; i += N) {
      const VF v = hn::Mul(LoadFirst(x + i, n - i), factor);
      StoreFirst(hn::Mul(v, LoadFirst(gain + i, n - i)), y + i, n - i);
    }
  }

  /// y += x
  static void Add(const float* HWY_RESTRICT x, float* HWY_RESTRICT y, std::size_t n) {
    for (std::size_t i = 0; i < n; i += N) {
      StoreFirst(hn::Add(LoadFirst(x + i, n - i), LoadFirst(y + i, n - i)), y + i, n - i);
    }
  }

  /// y = gate / (1 + exp(-gate)) * up
  static void SwiGlu(const float* HWY_RESTRICT gate, const float* HWY_RESTRICT up,
                     float* HWY_RESTRICT y, std::size_t n) {
    const VF one = hn::Set(DF(), 1.0f);
    for (std::size_t i = 0; i < n; i += N) {
      const VF g = LoadFirst(gate + i, n - i);
      // Past 104 the exponential would leave its range and wrap; at 104 it is infinite already.
      const VF exponential = hn::Exp(DF(), hn::Min(hn::Neg(g), hn::Set(DF(), 104.0f)));
      const VF silu = hn::Div(g, hn::Add(one, exponential));
      StoreFirst(hn::Mul(silu, LoadFirst(up + i, n - i)), y + i, n - i);
    }
  }

  /// Rotates pairs (i, i + n / 2) of a head of n elements.
  static void RopeHalf(const float* HWY_RESTRICT cosines, const float* HWY_RESTRICT sines,
                       float* HWY_RESTRICT x, std::size_t n) {
    const std::size_t half = n / 2;
    for (std::size_t i = 0; i < half; i += N) {
      const std::size_t count = half - i;
      const VF c = LoadFirst(cosines + i, count);
      const VF s = LoadFirst(sines + i, count);
      const VF a = LoadFirst(x + i, count);
      const VF b = LoadFirst(x + half + i, count);
      StoreFirst(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), x + i, count);
      StoreFirst(hn::Add(hn::Mul(b, c), hn::Mul(a, s)), x + half + i, count);
    }
  }

  /// Rotates pairs (2 i, 2 i + 1) of a head of n elements.
  static void RopeInterleaved(const float* HWY_RESTRICT cosines, const float* HWY_RESTRICT sines,
                              float* HWY_RESTRICT x, std::size_t n) {
    const std::size_t half = n / 2;
    std::size_t i = 0;
    for (; i + N <= half; i += N) {
      VF a;
      VF b;
      hn::LoadInterleaved2(DF(), x + 2 * i, a, b);
      const VF c = hn::LoadU(DF(), cosines + i);
      const VF s = hn::LoadU(DF(), sines + i);
      hn::StoreInterleaved2(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)),
                            hn::Add(hn::Mul(b, c), hn::Mul(a, s)), DF(), x + 2 * i);
    }
    for (; i < half; ++i) {
      const float a = x[2 * i];
      const float b = x[2 * i + 1];
      x[2 * i] = a * cosines[i] - b * sines[i];
      x[2 * i + 1] = b * cosines[i] + a * sines[i];
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
