// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief IEEE 754 half precision.

#include <bit>
#include <cstdint>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// IEEE 754 binary16: 1 sign, 5 exponent, 10 mantissa bits, infinities and NaN.
///
/// @par Source
/// IEEE 754-2019, section 3.4.
struct fp16 {
  using storage_type = std::uint16_t;

  static constexpr std::string_view name = "fp16";
  static constexpr int bits = 16;
  static constexpr float max_finite = 65504.0f;

  /// Nearest code, ties to even, subnormals included; 65520 and beyond become infinity, NaN
  /// stays a quiet NaN of the same sign.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (word >> 16) & 0x8000u;
    const std::uint32_t magnitude = word & 0x7fff'ffffu;

    if (magnitude > 0x7f80'0000u) return static_cast<storage_type>(sign | 0x7e00u);
    if (magnitude >= std::bit_cast<std::uint32_t>(65520.0f)) {
      return static_cast<storage_type>(sign | 0x7c00u);
    }
    if (magnitude < std::bit_cast<std::uint32_t>(0x1p-14f)) {
      // One ulp at 1/2 is 2^-24, the subnormal step, so the addition does the rounding.
      const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
      return static_cast<storage_type>(sign | (std::bit_cast<std::uint32_t>(shifted) & 0x7ffu));
    }
    // Drop 13 mantissa bits, ties to even; a carry out of the mantissa bumps the exponent.
    const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    return static_cast<storage_type>(sign | ((rounded - (112u << 23)) >> 13));
  }

  /// Exact: every half is a float.
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    const std::uint32_t sign = (code & 0x8000u) << 16;
    const std::uint32_t magnitude = code & 0x7fffu;
    if (magnitude >= 0x7c00u) {  // infinity, or NaN with its payload
      return std::bit_cast<float>(sign | 0x7f80'0000u | ((magnitude & 0x3ffu) << 13));
    }
    // Subnormals carry no hidden bit, so build them by scaling instead of by fields.
    if (magnitude < 0x400u) {
      const float tiny = static_cast<float>(magnitude) * 0x1p-24f;
      return std::bit_cast<float>(std::bit_cast<std::uint32_t>(tiny) | sign);
    }
    return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
  }
};

static_assert(number_format<fp16>);
static_assert(fp16::decode(fp16::encode(65519.0f)) == 65504.0f);
static_assert(fp16::encode(65520.0f) == 0x7c00, "rounds to infinity");
static_assert(fp16::decode(0x0001) == 0x1p-24f, "smallest subnormal");

}  // namespace qompose
