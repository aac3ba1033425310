// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief NF4: sixteen quantiles of the normal distribution.

#include <cstdint>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// 4-bit NormalFloat: values in [-1, 1] that normal numbers hit about equally often.
///
/// @par Source
/// Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", NeurIPS 2023,
/// arXiv:2305.14314, appendix E.
struct nf4 {
  using storage_type = std::uint8_t;

  static constexpr std::string_view name = "nf4";
  static constexpr int bits = 4;
  static constexpr float max_finite = 1.0f;

  /// The nearest value's code; a tie goes to the lower code, NaN to the code of 0.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    if (value != value) return 7;
    unsigned code = 0;
    for (int i = 0; i < 15; ++i) {
      // The midpoint of two floats is exact in double.
      const double doubled = static_cast<double>(values[i]) + static_cast<double>(values[i + 1]);
      code += 2.0 * static_cast<double>(value) > doubled ? 1u : 0u;
    }
    return static_cast<storage_type>(code);
  }
  /// The value of a code in 0..15 (dimensionless).
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return values[code & 15];
  }

  /// All values, ascending.
  static constexpr float values[16] = {
      -1.0f,          -0.6961928010f, -0.5250730515f, -0.3949174881f,
      -0.2844413817f, -0.1847734302f, -0.0910500363f, 0.0f,
      0.0795802996f,  0.1609302014f,  0.2461123019f,  0.3379152417f,
      0.4407098293f,  0.5626170039f,  0.7229568362f,  1.0f};
};

static_assert(number_format<nf4>);
static_assert(nf4::encode(0.5f) == 12 && nf4::encode(-1.0f) == 0 && nf4::encode(0.1f) == 8 &&
              nf4::encode(0.33f) == 11);

}  // namespace qompose
