// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Powers of two in a byte: the shared scales of the MX formats.

#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// OCP E8M0: code c stands for 2^(c - 127), 255 is NaN; no sign, no zero, no infinity.
///
/// @par Source
/// OCP Microscaling Formats (MX) Specification, version 1.0, 2023, section 5.4.1.
struct e8m0 {
  using storage_type = std::uint8_t;

  static constexpr std::string_view name = "e8m0";
  static constexpr int bits = 8;
  static constexpr float max_finite = 0x1p127f;
  static constexpr bool is_scale_only = true;

  /// The power of two whose code is nearest to the value's place between two of them, ties to the
  /// even code. Zero and negative values give code 0, values past 2^127 give 254, NaN gives 255.
  /// Block formats choose their scales by a rule instead, see rules/mx_scale.hpp.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    const auto word = std::bit_cast<std::uint32_t>(value);
    if ((word & 0x7fff'ffffu) > 0x7f80'0000u) return 255;
    if ((word >> 31) != 0) return 0;
    // Below 2^-126 codes 0 and 1 lie 2^-127 apart, and their midpoint goes to code 0.
    if (word < 0x0080'0000u) return word > 0x0060'0000u ? 1 : 0;
    const std::uint32_t rounded = (word + 0x3f'ffffu + ((word >> 23) & 1u)) >> 23;
    return static_cast<storage_type>(rounded < 254u ? rounded : 254u);
  }
  /// Exact; code 0 is the subnormal 2^-127.
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    if (code == 255) return std::numeric_limits<float>::quiet_NaN();
    if (code == 0) return 0x1p-127f;
    return std::bit_cast<float>(static_cast<std::uint32_t>(code) << 23);
  }
};

static_assert(number_format<e8m0> && scale_only_format<e8m0>);
static_assert(e8m0::encode(1.0f) == 127 && e8m0::decode(127) == 1.0f);
static_assert(e8m0::encode(1.5f) == 128 && e8m0::encode(3.0f) == 128, "ties go to the even code");

}  // namespace qompose
