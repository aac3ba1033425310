// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Products of int32 sums with a real number, in integers alone: gemmlowp's arithmetic.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// The upper half of 2 a b, rounded: (a b + 2^30) / 2^31, rounded down, so that ties go up. Only
/// the square of -2^31 does not fit; it gives 2^31 - 1.
///
/// gemmlowp writes it as a division that truncates, of a b + 2^30 or of a b + 1 - 2^30 where a b is
/// negative; both are the same integer for every a and b. So is `vqrdmulh` of NEON.
[[nodiscard]] QOMPOSE_INLINE constexpr std::int32_t rounding_doubling_high_product(
    std::int32_t a, std::int32_t b) noexcept {
  constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
  if (a == lowest && b == lowest) return std::numeric_limits<std::int32_t>::max();
  const std::int64_t product = std::int64_t{a} * std::int64_t{b};
  return static_cast<std::int32_t>((product + (std::int64_t{1} << 30)) >> 31);
}

/// v / 2^n to the nearest integer, ties away from zero.
/// @param n  0 .. 31
[[nodiscard]] QOMPOSE_INLINE constexpr std::int32_t rounding_shift_right(std::int32_t v,
                                                                         int n) noexcept {
  const auto mask = static_cast<std::int32_t>((std::uint32_t{1} << n) - 1);
  const std::int32_t remainder = v & mask;
  const std::int32_t threshold = (mask >> 1) + (v < 0 ? 1 : 0);
  return (v >> n) + (remainder > threshold ? 1 : 0);
}

/// v * 2^n; numbers that would not fit become the nearest multiple of 2^n that does.
/// @param n  0 .. 30
[[nodiscard]] QOMPOSE_INLINE constexpr std::int32_t clamped_shift_left(std::int32_t v,
                                                                       int n) noexcept {
  const std::int32_t lowest = std::numeric_limits<std::int32_t>::min() >> n;
  const std::int32_t highest = std::numeric_limits<std::int32_t>::max() >> n;
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(std::clamp(v, lowest, highest)) << n);
}

}  // namespace QOMPOSE_ISA

/// A real number M >= 0 as mantissa * 2^-(31 + shift), mantissa in [2^30, 2^31) or 0.
///
/// `multiply(v)` rounds twice: first v * mantissa * 2^-31 (ties up), then that by the shift (ties
/// away from zero). It differs from v * M rounded once by at most 1.
///
/// @par Source
/// Jacob et al., "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877, section 2.2 and appendix B.
struct fixed_point_multiplier {
  std::int32_t mantissa = 0;
  /// Bits to the right; M >= 1 shifts to the left, before the product.
  std::int32_t shift = 0;

  /// The multiplier nearest to `scale`; 0 below 2^-32, where every product is less than a half.
  /// @param scale  dimensionless, 0 <= scale < 2^30
  /// @throws qompose::argument_error for any other
  [[nodiscard]] QOMPOSE_INLINE static fixed_point_multiplier from_scale(double scale) {
    if (!(scale >= 0.0 && scale < 0x1p30)) {
      throw argument_error("fixed_point_multiplier: scale: " + std::to_string(scale) +
                           ", expected a number of at least 0 and less than 2^30");
    }
    if (scale < 0x1p-32) return {};
    int exponent = 0;
    const double fraction = std::frexp(scale, &exponent);
    auto mantissa = static_cast<std::int64_t>(std::nearbyint(fraction * 0x1p31));
    if (mantissa == std::int64_t{1} << 31) {
      mantissa /= 2;
      ++exponent;
    }
    // The number just below 2^30 rounds up to it; its mantissa is cut instead.
    if (exponent > 30) return {std::numeric_limits<std::int32_t>::max(), -30};
    return {static_cast<std::int32_t>(mantissa), -exponent};
  }

  /// The number it stands for.
  [[nodiscard]] QOMPOSE_INLINE double value() const noexcept {
    return std::ldexp(static_cast<double>(mantissa), -31 - shift);
  }

  /// v * M in integers, at most 1 away from the exact product rounded to nearest; the kernels give
  /// the same bits on every target.
  [[nodiscard]] QOMPOSE_INLINE constexpr std::int32_t multiply(std::int32_t v) const noexcept {
    const std::int32_t raised = clamped_shift_left(v, shift < 0 ? -shift : 0);
    const std::int32_t product = rounding_doubling_high_product(raised, mantissa);
    return rounding_shift_right(product, shift > 0 ? shift : 0);
  }
};

static_assert(rounding_doubling_high_product(1 << 30, 3) == 2, "ties go up");
static_assert(rounding_doubling_high_product(-(1 << 30), 3) == -1, "ties go up");
static_assert(rounding_shift_right(5, 1) == 3 && rounding_shift_right(-5, 1) == -3);
static_assert(fixed_point_multiplier{1379800517, 6}.multiply(10840) == 109);

}  // namespace qompose
