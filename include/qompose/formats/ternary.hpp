// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief -1, 0 and 1.

#include <cstdint>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// Ternary weights: codes 0, 1, 2 stand for -1, 0, 1. Which values become 0 is the fitting rule's
/// choice, see rules/ternary_threshold.hpp.
///
/// @par Source
/// Li et al., "Ternary Weight Networks", 2016, arXiv:1605.04711, equation 1.
struct ternary {
  using storage_type = std::uint8_t;

  static constexpr std::string_view name = "ternary";
  static constexpr int bits = 2;
  static constexpr float max_finite = 1.0f;

  /// The nearest value's code; ties and NaN go to 0.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    return encode_beyond(value, 0.5f);
  }
  /// The sign of values whose magnitude exceeds the threshold, 0 for the others.
  QOMPOSE_INLINE static constexpr storage_type encode_beyond(float value,
                                                             float threshold) noexcept {
    return static_cast<storage_type>(1 + (value > threshold) - (value < -threshold));
  }
  /// Whether a code is one of the three; files are held to it.
  QOMPOSE_INLINE static constexpr bool has_code(storage_type code) noexcept { return code < 3; }
  /// The value of a code in 0..2; the unused code 3 reads as 0.
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return code == 3 ? 0.0f : static_cast<float>(static_cast<int>(code) - 1);
  }
};

static_assert(number_format<ternary>);
static_assert(ternary::encode(-0.6f) == 0 && ternary::encode(0.5f) == 1 &&
              ternary::encode(9.0f) == 2);

}  // namespace qompose
