// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief What becomes of the int32 sums of integer-only layers: 8-bit codes, or int32 as they are.

#if defined(QOMPOSE_KERNELS_REQUANTIZE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_REQUANTIZE_INL_HPP_
#undef QOMPOSE_KERNELS_REQUANTIZE_INL_HPP_
#else
#define QOMPOSE_KERNELS_REQUANTIZE_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "qompose/core/fixed_point_multiplier.hpp"
#include "qompose/kernels/integer_arguments.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// f(lane of a, lane of b) in every lane.
template <class F>
HWY_INLINE VI LaneByLane(VI a, VI b, F&& f) {
  std::int32_t as[N];
  std::int32_t bs[N];
  hn::StoreU(a, DI(), as);
  hn::StoreU(b, DI(), bs);
  for (std::size_t i = 0; i < N; ++i) as[i] = f(as[i], bs[i]);
  return hn::LoadU(DI(), as);
}

/// The same as @ref qompose::rounding_doubling_high_product in every lane.
/// @pre b >= 0
HWY_INLINE VI RoundingDoublingHighProduct(VI a, VI b) {
#if QOMPOSE_PLAIN_TARGET
  return LaneByLane(
      a, b, [](std::int32_t x, std::int32_t y) { return rounding_doubling_high_product(x, y); });
#elif HWY_ARCH_ARM_A64
  return VI{vqrdmulhq_s32(a.raw, b.raw)};
#else
  const hn::Repartition<std::int64_t, DI> d64;
  const hn::Repartition<std::uint64_t, DI> du64;
  const auto odd_lanes = [&](VI v) QOMPOSE_FLATTEN {
    return hn::BitCast(DI(), hn::ShiftRight<32>(hn::BitCast(du64, v)));
  };
  const auto half = hn::Set(d64, std::int64_t{1} << 30);
  const auto even = hn::Add(hn::MulEven(a, b), half);
  const auto odd = hn::Add(hn::MulEven(odd_lanes(a), odd_lanes(b)), half);
  // The result is bits 31 .. 62 of each sum.
  return hn::OddEven(hn::BitCast(DI(), hn::Add(odd, odd)),
                     hn::BitCast(DI(), hn::ShiftRight<31>(hn::BitCast(du64, even))));
#endif
}

/// The same as @ref qompose::rounding_shift_right in every lane.
HWY_INLINE VI RoundingShiftRight(VI v, VI n) {
#if QOMPOSE_PLAIN_TARGET
  return LaneByLane(v, n,
                    [](std::int32_t x, std::int32_t y) { return rounding_shift_right(x, y); });
#else
  const VI mask = hn::Sub(hn::Shl(hn::Set(DI(), 1), n), hn::Set(DI(), 1));
  // A comparison is -1 where it holds.
  const VI negative = hn::VecFromMask(DI(), hn::Lt(v, hn::Zero(DI())));
  const VI threshold = hn::Sub(hn::ShiftRight<1>(mask), negative);
  const VI up = hn::VecFromMask(DI(), hn::Gt(hn::And(v, mask), threshold));
  return hn::Sub(hn::Shr(v, n), up);
#endif
}

/// The same as @ref qompose::clamped_shift_left in every lane.
HWY_INLINE VI ClampedShiftLeft(VI v, VI n) {
#if QOMPOSE_PLAIN_TARGET
  return LaneByLane(v, n, [](std::int32_t x, std::int32_t y) { return clamped_shift_left(x, y); });
#else
  const VI lowest = hn::Shr(hn::Set(DI(), std::numeric_limits<std::int32_t>::min()), n);
  const VI highest = hn::Shr(hn::Set(DI(), std::numeric_limits<std::int32_t>::max()), n);
  return hn::Shl(hn::Min(hn::Max(v, lowest), highest), n);
#endif
}

/// `fixed_point_multiplier{mantissa, shift}.multiply(v)` in every lane.
template <bool kLeft>
HWY_INLINE VI Multiply(VI v, VI mantissa, VI shift) {
  if constexpr (kLeft) {
    const VI zero = hn::Zero(DI());
    const VI raised = ClampedShiftLeft(v, hn::Max(hn::Sub(zero, shift), zero));
    return RoundingShiftRight(RoundingDoublingHighProduct(raised, mantissa), hn::Max(shift, zero));
  } else {
    return RoundingShiftRight(RoundingDoublingHighProduct(v, mantissa), shift);
  }
}

/// An output of @ref IntegerMatmul, called with the sums of N rows of one token:
/// code = clamp(zero_point + (sum + bias) * M), stored as `Code`.
///
/// @tparam Code   std::int8_t or std::uint8_t
/// @tparam kLeft  whether some multiplier is 1 or more
template <class Code, bool kLeft>
class Requantize {
 public:
  using Arguments = detail::requantize_arguments;
  using MatmulArguments = detail::integer_matmul_arguments<Arguments>;

  HWY_INLINE explicit Requantize(const Arguments& a) : a_(a) {}

  /// @param row  of the first lane, a multiple of N; rows past the last are dropped
  HWY_INLINE void operator()(std::size_t token, std::size_t row, VI sum) const {
    if (row >= a_.rows) return;
    const VI acc = hn::Add(sum, hn::LoadU(DI(), a_.bias + row));
    const VI product =
        Multiply<kLeft>(acc, hn::LoadU(DI(), a_.mantissas + row), hn::LoadU(DI(), a_.shifts + row));
    // Clamped before the zero point is added: the sum could not be held otherwise.
    const VI lowest = hn::Set(DI(), a_.lowest - a_.zero_point);
    const VI highest = hn::Set(DI(), a_.highest - a_.zero_point);
    const VI code =
        hn::Add(hn::Min(hn::Max(product, lowest), highest), hn::Set(DI(), a_.zero_point));
    const hn::Rebind<Code, DI> narrow;
    Code* y = static_cast<Code*>(a_.y) + token * a_.y_stride + row;
    const std::size_t count = a_.rows - row;
    if (HWY_LIKELY(count >= N)) {
      hn::StoreU(hn::DemoteTo(narrow, code), narrow, y);
    } else {
      Code lanes[N];
      hn::StoreU(hn::DemoteTo(narrow, code), narrow, lanes);
      std::memcpy(y, lanes, count);
    }
  }

 private:
  const Arguments& a_;
};

/// The same for sums that are wanted as they are: sum + bias.
class StoreSums {
 public:
  using Arguments = detail::sum_arguments;
  using MatmulArguments = detail::integer_matmul_arguments<Arguments>;

  HWY_INLINE explicit StoreSums(const Arguments& a) : a_(a) {}

  HWY_INLINE void operator()(std::size_t token, std::size_t row, VI sum) const {
    if (row >= a_.rows) return;
    std::int32_t lanes[N];
    hn::StoreU(hn::Add(sum, hn::LoadU(DI(), a_.bias + row)), DI(), lanes);
    std::memcpy(a_.y + token * a_.y_stride + row, lanes,
                std::min(N, a_.rows - row) * sizeof(std::int32_t));
  }

 private:
  const Arguments& a_;
};

/// Requantizes a row of sums, for callers whose products come from elsewhere.
template <class Code>
struct RequantizeRow {
  /// @param sums  [a.rows], readable up to a multiple of 16
  static void Run(const detail::requantize_arguments& a, const std::int32_t* sums,
                  std::size_t token) {
    if (a.has_left_shift) {
      const Requantize<Code, true> store(a);
      for (std::size_t r = 0; r < a.rows; r += N) store(token, r, hn::LoadU(DI(), sums + r));
    } else {
      const Requantize<Code, false> store(a);
      for (std::size_t r = 0; r < a.rows; r += N) store(token, r, hn::LoadU(DI(), sums + r));
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
