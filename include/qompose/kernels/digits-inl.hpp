// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Floats as three int8 digits each, so that float activations meet integer weights in
///        integer dot products.

#if defined(QOMPOSE_KERNELS_DIGITS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_DIGITS_INL_HPP_
#undef QOMPOSE_KERNELS_DIGITS_INL_HPP_
#else
#define QOMPOSE_KERNELS_DIGITS_INL_HPP_
#endif

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "qompose/kernels/quantize-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// x = scale (d0 + 256 d1 + 65536 d2) with digits in -128 .. 127 and a power of two as the scale,
/// the same for a whole row.
///
/// The largest magnitude takes at least 22 bits and each x is off by at most half a scale, so by
/// 2^-23 of the largest. Values that share few bits, such as bf16 of similar size, are exact.
/// Decoding weights to floats takes a vector of 16 or 8 lanes two to five instructions; three
/// products of bytes take three for 64 or 32 weights.
struct Digits {
  static constexpr std::size_t kCount = 3;

  /// @param x       n floats
  /// @param digits  kCount rows of n digits, lowest first, `stride` bytes apart
  /// @param scales  of the digits, lowest first; NaN (and digits of 0) where x holds NaN or
  ///                infinity, so that the fault shows in every result of the row
  static HWY_INLINE void Run(const float* x, std::size_t n, std::int8_t* digits, std::size_t stride,
                             float* scales) {
    const float peak = RangeOf::Symmetric(x, n).highest;
    if (!(peak > 0.0f)) {
      for (std::size_t d = 0; d < kCount; ++d) {
        std::memset(digits + d * stride, 0, n);
        scales[d] = peak == 0.0f ? 1.0f : std::numeric_limits<float>::quiet_NaN();
      }
      return;
    }
    const int exponent = ExponentFor(peak);
    scales[0] = PowerOfTwo(-exponent);
    scales[1] = scales[0] * 256.0f;
    scales[2] = scales[0] * 65536.0f;
    Cut(x, n, PowerOfTwo(exponent), digits, stride);
  }

 private:
  /// 127 in every digit.
  static constexpr float kLargest = 0x7f7f7fp0f;
  /// 128 in every digit: with it added, bytes of the sum are digits plus 128.
  static constexpr std::int32_t kRaise = 0x808080;

  static HWY_INLINE float PowerOfTwo(int exponent) {
    return std::bit_cast<float>(static_cast<std::uint32_t>(exponent + 127) << 23);
  }
  /// The largest exponent with which the peak fits three digits; at most 126, so that the scale is
  /// no subnormal number.
  static HWY_INLINE int ExponentFor(float peak) {
    const int binade = static_cast<int>(std::bit_cast<std::uint32_t>(peak) >> 23) - 127;
    int exponent = 22 - binade;
    if (exponent > 126) return 126;
    if (peak * PowerOfTwo(exponent) > kLargest) --exponent;
    return exponent;
  }

  static HWY_INLINE void Cut(const float* x, std::size_t n, float factor, std::int8_t* digits,
                             std::size_t stride) {
    std::size_t i = 0;
    if constexpr (N > 1) {
      using DU = hn::Rebind<std::uint32_t, DF>;
      using DB = hn::Rebind<std::uint8_t, DF>;
      const VF factors = hn::Set(DF(), factor);
      const VI raise = hn::Set(DI(), kRaise);
      for (; i + N <= n; i += N) {
        const VI whole = hn::NearestInt(hn::Mul(hn::LoadU(DF(), x + i), factors));
        const auto word = hn::BitCast(DU(), hn::Xor(hn::Add(whole, raise), raise));
        const auto store = [&](auto bytes, std::size_t d) QOMPOSE_FLATTEN {
          hn::StoreU(hn::U8FromU32(hn::And(bytes, hn::Set(DU(), 255u))), DB(),
                     reinterpret_cast<std::uint8_t*>(digits + d * stride + i));
        };
        store(word, 0);
        store(hn::ShiftRight<8>(word), 1);
        store(hn::ShiftRight<16>(word), 2);
      }
    }
    for (; i < n; ++i) {
      const auto whole = static_cast<std::int32_t>(std::nearbyint(x[i] * factor));
      const std::int32_t word = (whole + kRaise) ^ kRaise;
      for (std::size_t d = 0; d < kCount; ++d) {
        digits[d * stride + i] = static_cast<std::int8_t>(static_cast<std::uint8_t>(word >> 8 * d));
      }
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
