// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Many quotients by one divisor without a division for each, and yet the same codes.

#if defined(QOMPOSE_KERNELS_DIVIDE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_DIVIDE_INL_HPP_
#undef QOMPOSE_KERNELS_DIVIDE_INL_HPP_
#else
#define QOMPOSE_KERNELS_DIVIDE_INL_HPP_
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// 1 / d for n divisors.
HWY_INLINE void Invert(const float* divisors, std::size_t n, float* inverses) {
  std::size_t i = 0;
  for (; i + N <= n; i += N) {
    hn::StoreU(hn::Div(hn::Set(DF(), 1.0f), hn::LoadU(DF(), divisors + i)), DF(), inverses + i);
  }
  for (; i < n; ++i) inverses[i] = 1.0f / divisors[i];
}

/// Quotients by one divisor, each the float nearest to the exact one.
///
/// With r the float nearest to 1 / d and q that nearest to x r, the remainder x - q d is exact in a
/// fused multiply-add, and q + remainder r rounds to the same float as the division itself
/// (Markstein, "Computation of elementary functions", IBM Journal 34, 1990, theorem 8.3). Divisors
/// near the ends of the range, where a remainder could be subnormal, are divided by. The correction
/// turns -0 into 0.
class Divider {
 public:
  HWY_INLINE explicit Divider(float divisor)
      : divisor_(hn::Set(DF(), divisor)),
        inverse_(hn::Set(DF(), 1.0f / divisor)),
        by_reciprocal_(kFused && std::fabs(divisor) > 0x1p-90f && std::fabs(divisor) < 0x1p90f) {}

  /// A number with the sign of x / d.
  [[nodiscard]] HWY_INLINE VF WithSign(VF x) const { return hn::Xor(x, divisor_); }
  /// Whether quotients come from a reciprocal.
  [[nodiscard]] HWY_INLINE bool ByReciprocal() const { return by_reciprocal_; }
  template <bool kReciprocal>
  [[nodiscard]] HWY_INLINE VF Divide(VF x) const {
    if constexpr (kReciprocal) {
      const VF q = hn::Mul(x, inverse_);
      return hn::MulAdd(hn::NegMulAdd(q, divisor_, x), inverse_, q);
    } else {
      return hn::Div(x, divisor_);
    }
  }

 private:
  VF divisor_;
  VF inverse_;
  bool by_reciprocal_;
};

/// Quotients by one divisor that round to the same integer of at most 8 bits, signed or not, as the
/// float nearest to the exact quotient does, with one product less than @ref Divider.
///
/// Let r be the float nearest to 1 / d, e = 1 - r d, which is exact, and s the float nearest to e
/// r. A fused multiply-add rounds z = x r + float(x s) once. s is within 2^-23 |e / d| of e / d,
/// |e| is at most 2^-24, and the product with x is off by 2^-24 of itself, so z is within 1.5 *
/// 2^-47 |y| of y = x / d. Rounded to float and then to an integer, z and y can differ only if a
/// number m at which the integer changes lies between them: the middle between a half-integer h and
/// the float next to it, towards 0 or away from it.
///
/// With significands as whole numbers, 2^23 <= D, X < 2^24 and m as M = H 2^e -+ 1 < 2^25, where
/// the odd H = 2 |h| has at most 9 bits and so e >= 16, the distance of y from m is |k| / (M D) of
/// m, for k = X 2^j - M D with j >= 24. k is not 0, as M is odd and D has fewer than 24 factors
/// of 2. Modulo 2^16, k is +-D, so |k| >= 8 unless D is 1 to 7 away from a multiple of 2^16. Then y
/// is at least 8 * 2^-49 |m| away from m, more than z is from y. (For all 2^23 significands of d,
/// the floats at all 256 half-integers times d and next to them gave the right codes.)
///
/// Divisors that are so near to a multiple are divided by, and those for which products might leave
/// the range of floats.
class CodeDivider {
 public:
  HWY_INLINE explicit CodeDivider(float divisor)
      : CodeDivider(divisor, 1.0f / divisor, IsOrdinary(divisor)) {}
  /// With the inverse of an ordinary divisor at hand.
  HWY_INLINE CodeDivider(float divisor, float inverse, bool is_ordinary = true)
      : divisor_(hn::Set(DF(), divisor)),
        inverse_(hn::Set(DF(), inverse)),
        rest_(hn::Mul(hn::NegMulAdd(divisor_, inverse_, hn::Set(DF(), 1.0f)), inverse_)),
        by_reciprocal_(is_ordinary) {}

  /// Whether quotients come from a reciprocal.
  static HWY_INLINE bool IsOrdinary(float divisor) {
    if (!(kFused && std::fabs(divisor) > kLeast && std::fabs(divisor) < kMost)) return false;
    std::uint32_t bits;
    std::memcpy(&bits, &divisor, sizeof(bits));
    return bits % 0x1'0000 == 0 || (bits + kNear - 1) % 0x1'0000 > 2 * (kNear - 1);
  }
  static HWY_INLINE hn::Mask<DF> AreOrdinary(VF divisor) {
    const VI low = hn::Set(DI(), 0xffff);
    const VI bits = hn::BitCast(DI(), divisor);
    const VI from_near = hn::And(hn::Add(bits, hn::Set(DI(), kNear - 1)), low);
    const auto is_far = hn::Or(hn::Gt(from_near, hn::Set(DI(), 2 * (kNear - 1))),
                               hn::Eq(hn::And(bits, low), hn::Zero(DI())));
    const VF size = hn::Abs(divisor);
    const VF least = hn::Set(DF(), kFused ? kLeast : kMost);
    const auto is_within = hn::And(hn::Gt(size, least), hn::Lt(size, hn::Set(DF(), kMost)));
    return hn::And(is_within, hn::RebindMask(DF(), is_far));
  }

  [[nodiscard]] HWY_INLINE bool ByReciprocal() const { return by_reciprocal_; }
  template <bool kReciprocal>
  [[nodiscard]] HWY_INLINE VF Divide(VF x) const {
    if constexpr (kReciprocal) {
      return hn::MulAdd(x, inverse_, hn::Mul(x, rest_));
    } else {
      return hn::Div(x, divisor_);
    }
  }

 private:
  /// The product with the rest stays finite, and is normal where it counts.
  static constexpr float kLeast = 0x1p-24f;
  static constexpr float kMost = 0x1p60f;
  static constexpr std::int32_t kNear = 8;

  VF divisor_;
  VF inverse_;
  VF rest_;
  bool by_reciprocal_;
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
