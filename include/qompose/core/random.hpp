// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A small seeded random generator whose numbers are the same everywhere.

#include <cmath>
#include <cstdint>

#include "qompose/core/config.hpp"

namespace qompose {

/// SplitMix64: one 64-bit word of state, passes the usual statistical batteries.
///
/// The standard library's distributions differ between implementations; these do not, so that
/// what a seed stands for (signs, samples, rescaling factors) can be stored as the seed.
///
/// @par Source
/// Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
class random_source {
 public:
  QOMPOSE_INLINE constexpr explicit random_source(std::uint64_t seed) noexcept : state_(seed) {}

  /// 64 uniform bits.
  QOMPOSE_INLINE constexpr std::uint64_t bits() noexcept {
    state_ += 0x9e37'79b9'7f4a'7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58'476d'1ce4'e5b9u;
    z = (z ^ (z >> 27)) * 0x94d0'49bb'1331'11ebu;
    return z ^ (z >> 31);
  }

  /// Uniform on [0, 1), a multiple of 2^-53.
  QOMPOSE_INLINE constexpr double uniform() noexcept {
    return static_cast<double>(bits() >> 11) * 0x1p-53;
  }

  /// Normal with mean 0 and variance 1 (Box-Muller).
  QOMPOSE_INLINE double normal() noexcept {
    constexpr double two_pi = 6.283185307179586;
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(two_pi * uniform());
  }

 private:
  std::uint64_t state_;
};

}  // namespace qompose
