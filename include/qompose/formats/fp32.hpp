// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The identity among formats: IEEE 754 single precision.

#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// IEEE 754 binary32; encoding and decoding change no bit.
struct fp32 {
  using storage_type = std::uint32_t;

  static constexpr std::string_view name = "fp32";
  static constexpr int bits = 32;
  static constexpr float max_finite = std::numeric_limits<float>::max();

  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    return std::bit_cast<storage_type>(value);
  }
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return std::bit_cast<float>(code);
  }
};

static_assert(number_format<fp32>);

}  // namespace qompose
