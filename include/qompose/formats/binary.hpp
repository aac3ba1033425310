// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Signs: -1 and 1.

#include <cstdint>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// Binary weights: bit 1 stands for 1, bit 0 for -1; sign(0) is 1.
///
/// @par Source
/// Rastegari et al., "XNOR-Net", ECCV 2016, arXiv:1603.05279, section 3.1.
struct binary {
  using storage_type = std::uint8_t;

  static constexpr std::string_view name = "binary";
  static constexpr int bits = 1;
  static constexpr float max_finite = 1.0f;

  /// 1 for values that are not negative (both zeros), 0 for the others and for NaN.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    return value >= 0.0f ? 1 : 0;
  }
  /// 1 or -1.
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return (code & 1) != 0 ? 1.0f : -1.0f;
  }
};

static_assert(number_format<binary>);

}  // namespace qompose
