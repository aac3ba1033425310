// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief bfloat16 made by cutting a float in half.

#include <bit>
#include <cstdint>

#include "qompose/core/config.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// The codes of @ref qompose::bf16, made by dropping the lower half of a float: rounds toward zero,
/// so that a magnitude in [1, 2) comes out 2^-8 too small on average, and in `bf16` right on
/// average. For data that other software truncates.
struct bf16_truncated : bf16 {
  /// The upper half; NaN stays a quiet NaN of the same sign.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const bool is_nan = (word & 0x7fff'ffffu) > 0x7f80'0000u;
    return static_cast<storage_type>((word >> 16) | (is_nan ? 0x40u : 0u));
  }
};

static_assert(number_format<bf16_truncated>);
static_assert(bf16_truncated::decode(bf16_truncated::encode(1.01171875f)) == 1.0078125f);

}  // namespace qompose
