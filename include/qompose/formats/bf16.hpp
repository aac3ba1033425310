// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief bfloat16: the upper half of a float, rounded to nearest even.

#include <bit>
#include <cstdint>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// bfloat16: 1 sign, 8 exponent, 7 mantissa bits; the range of float at 1/65536 of its precision.
///
/// @par Source
/// Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", 2019, arXiv:1905.12322.
struct bf16 {
  using storage_type = std::uint16_t;

  static constexpr std::string_view name = "bf16";
  static constexpr int bits = 16;
  static constexpr float max_finite = 0x1.fep127f;

  /// Nearest code, ties to even; a value past `max_finite` by half a step or more becomes
  /// infinity, NaN stays a quiet NaN of the same sign.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    const auto word = std::bit_cast<std::uint32_t>(value);
    // Rounding a NaN could carry its mantissa away, so it takes its own path.
    if ((word & 0x7fff'ffffu) > 0x7f80'0000u) {
      return static_cast<storage_type>((word >> 16) | 0x40u);
    }
    return static_cast<storage_type>((word + 0x7fffu + ((word >> 16) & 1u)) >> 16);
  }
  /// Exact.
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 16);
  }
};

static_assert(number_format<bf16>);
static_assert(bf16::decode(bf16::encode(1.01171875f)) == 1.015625f, "ties go to even");

}  // namespace qompose
