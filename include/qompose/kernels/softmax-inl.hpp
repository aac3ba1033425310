// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief The online softmax: scores of a tile of tokens to weights, beside a running peak and sum.

#if defined(QOMPOSE_KERNELS_SOFTMAX_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_SOFTMAX_INL_HPP_
#undef QOMPOSE_KERNELS_SOFTMAX_INL_HPP_
#else
#define QOMPOSE_KERNELS_SOFTMAX_INL_HPP_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/quantize-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// exp(x) for x <= 0, to 2 units in the last place; 0 below -87.
///
/// 2^n exp(r) with |r| <= ln(2) / 2 and a polynomial of Moshier's Cephes for exp(r).
HWY_INLINE VF ExpOfNegative(VF x) {
  const VF lowest = hn::Set(DF(), -87.0f);
  const VF within = hn::Max(x, lowest);
  const VI n = RoundToInt(hn::Mul(within, hn::Set(DF(), 1.44269504f)));
  const VF whole = hn::ConvertTo(DF(), n);
  // ln(2) in two parts, of which the first has few bits.
  VF r = hn::NegMulAdd(whole, hn::Set(DF(), 0.693359375f), within);
  r = hn::NegMulAdd(whole, hn::Set(DF(), -2.12194440e-4f), r);
  VF y = hn::Set(DF(), 1.9875691500e-4f);
  y = hn::MulAdd(y, r, hn::Set(DF(), 1.3981999507e-3f));
  y = hn::MulAdd(y, r, hn::Set(DF(), 8.3334519073e-3f));
  y = hn::MulAdd(y, r, hn::Set(DF(), 4.1665795894e-2f));
  y = hn::MulAdd(y, r, hn::Set(DF(), 1.6666665459e-1f));
  y = hn::MulAdd(y, r, hn::Set(DF(), 5.0000001201e-1f));
  y = hn::MulAdd(hn::Mul(r, r), y, hn::Add(r, hn::Set(DF(), 1.0f)));
  const VF scaled = hn::BitCast(DF(), hn::Add(hn::BitCast(DI(), y), hn::ShiftLeft<23>(n)));
  return hn::IfThenElseZero(hn::Ge(x, lowest), scaled);
}

/// cap tanh(x / cap)
HWY_INLINE VF SoftCap(VF x, VF cap) {
  // tanh(|z|) = (1 - e) / (1 + e) with e = exp(-2 |z|)
  const VF z = hn::Div(hn::Abs(x), cap);
  const VF e = ExpOfNegative(hn::Mul(z, hn::Set(DF(), -2.0f)));
  const VF one = hn::Set(DF(), 1.0f);
  return hn::CopySign(hn::Mul(cap, hn::Div(hn::Sub(one, e), hn::Add(one, e))), x);
}

/// A row of scores over tiles of tokens.
struct OnlineSoftmax {
  float peak = -std::numeric_limits<float>::infinity();
  /// Sums of weights of every sixteenth token.
  float totals[panel_rows] = {};

  [[nodiscard]] HWY_INLINE float Total() const {
    VF sum = hn::LoadU(DF(), totals);
    for (std::size_t i = N; i < panel_rows; i += N) {
      sum = hn::Add(sum, hn::LoadU(DF(), totals + i));
    }
    return hn::GetLane(hn::SumOfLanes(DF(), sum));
  }

  /// A score before the first one that adds to the total alone.
  HWY_INLINE void StartWith(float score) {
    peak = score;
    totals[0] = 1.0f;
  }

  /// Turns scores [begin, end) of a tile of `count` into weights exp(score - peak), all others into
  /// 0, and adds them to the total.
  /// @param count  a multiple of 16
  /// @return what sums of earlier tiles have to be multiplied by
  HWY_INLINE float Weigh(float* scores, std::size_t begin, std::size_t end, std::size_t count) {
    constexpr float kNever = -std::numeric_limits<float>::infinity();
    if (begin >= end) {
      std::fill_n(scores, count, 0.0f);
      return 1.0f;
    }
    std::fill_n(scores, begin, kNever);
    std::fill(scores + end, scores + count, kNever);
    return WeighAll(scores, count);
  }

  /// The same for all `count` scores, which may be a compile-time number.
  template <class Count>
  HWY_INLINE float WeighAll(float* scores, Count count) {
    constexpr float kNever = -std::numeric_limits<float>::infinity();
    VF highest[2] = {hn::Set(DF(), kNever), hn::Set(DF(), kNever)};
    for (std::size_t i = 0; i < count; i += panel_rows) {
      Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
        highest[part % 2] = hn::Max(highest[part % 2], hn::LoadU(DF(), scores + i + part * N));
      });
    }
    // Of many tiles few hold a new peak, and none waits to learn which score it would be.
    const VF top = hn::Max(highest[0], highest[1]);
    float shrink = 1.0f;
    if (HWY_UNLIKELY(!hn::AllFalse(DF(), hn::Gt(top, hn::Set(DF(), peak))))) {
      shrink = Raise(hn::GetLane(hn::MaxOfLanes(DF(), top)));
    }
    const VF at_peak = hn::Set(DF(), peak);
    VF sum[kParts];
    Each<kParts>([&](auto part)
                     QOMPOSE_FLATTEN { sum[part] = hn::LoadU(DF(), totals + part * N); });
    for (std::size_t i = 0; i < count; i += panel_rows) {
      Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
        float* at = scores + i + part * N;
        const VF weight = ExpOfNegative(hn::Sub(hn::LoadU(DF(), at), at_peak));
        hn::StoreU(weight, DF(), at);
        sum[part] = hn::Add(sum[part], weight);
      });
    }
    Each<kParts>([&](auto part)
                     QOMPOSE_FLATTEN { hn::StoreU(sum[part], DF(), totals + part * N); });
    return shrink;
  }

  /// Moves the peak to a score if that is higher.
  /// @return what sums made so far have to be multiplied by
  HWY_INLINE float Raise(float score) {
    // A peak of -infinity is that of no score at all: there is nothing to shrink.
    if (!(score > peak)) return 1.0f;
    const float shrink = Total() > 0.0f ? std::exp(peak - score) : 1.0f;
    for (float& total : totals) total *= shrink;
    peak = score;
    return shrink;
  }
};

/// Scores of a row, of tokens from `start` on, to weights: capped, with what the caller adds to
/// them.
/// @param query       of the row
/// @param count       scores, a multiple of 16
/// @param begin, end  the tokens that the row sees, from start on
/// @return what sums of earlier tiles have to be multiplied by
HWY_INLINE float WeighRow(const detail::attention_arguments& a, std::size_t query,
                          OnlineSoftmax& softmax, float* scores, std::size_t start,
                          std::size_t count, std::size_t begin, std::size_t end) {
  if (begin >= end) return softmax.Weigh(scores, 0, 0, count);
  if (a.soft_cap > 0.0f) {
    const VF cap = hn::Set(DF(), a.soft_cap);
    for (std::size_t i = 0; i < count; i += N) {
      hn::StoreU(SoftCap(hn::LoadU(DF(), scores + i), cap), DF(), scores + i);
    }
  }
  if (a.bias != nullptr) {
    const float* bias = a.bias + query * a.bias_stride;
    for (std::size_t t = begin; t < end; ++t) scores[t - start] += bias[t];
  }
  return softmax.Weigh(scores, begin - start, end - start, count);
}

/// n floats, a multiple of 16, times a factor.
HWY_INLINE void MultiplyRow(float* row, std::size_t n, float factor) {
  const VF factors = hn::Set(DF(), factor);
  for (std::size_t i = 0; i < n; i += N) {
    hn::StoreU(hn::Mul(hn::LoadU(DF(), row + i), factors), DF(), row + i);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
