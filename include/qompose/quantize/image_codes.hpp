// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rows of activations as the small integers that their codes stand for.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/packing/integer_image.hpp"
#include "qompose/quantize/fake_quantize.hpp"
#include "qompose/quantize/quantize_row.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/rules/default_rule.hpp"

namespace qompose::detail {

/// Whether rows of activations stored as `Spec` are integers of a signed byte times scales: the
/// format has an integer_image, and each row, or group of it, a scale that depends on no other.
template <class Spec>
inline constexpr bool has_image_codes = false;
template <quant_spec Spec>
inline constexpr bool has_image_codes<Spec> = [] {
  using image = integer_image<typename Spec::element>;
  if constexpr (image::exists && std::is_same_v<typename Spec::zero_type, no_zero>) {
    return is_rounded_in_place<Spec> && image::lowest >= -128 &&
           image::lowest + image::most_raised <= 127;
  } else {
    return false;
  }
}();

inline namespace QOMPOSE_ISA {

/// What a kernel calls to turn a row of activations into integers and scales.
template <quant_spec Spec>
struct image_codes {
  static constexpr bool finds_all_scales = true;

  /// The codes and scales of `quantize`: value = integer * scale.
  /// @param x       n floats
  /// @param codes   n integers
  /// @param scales  one a group, `apart` numbers apart; NaN, and integers of 0, where a number is
  ///                not finite or a scale overflows
  static void Run(const float* x, std::size_t n, std::int8_t* codes, float* scales,
                  std::size_t apart) {
    using image = integer_image<typename Spec::element>;
    constexpr float unit = 1.0f / static_cast<float>(1 << image::exponent);
    row_quantizer<Spec, default_rule> quantizer{default_rule{}};
    const row_status status = quantizer.integers(
        x, n, codes, [&](std::size_t g, float scale) { scales[g * apart] = scale * unit; });
    if (status.fault == group_fault::none) return;
    std::memset(codes, 0, n);
    const std::size_t group = Spec::granularity_type::group_cols(n);
    for (std::size_t g = 0; g * group < n; ++g) {
      scales[g * apart] = std::numeric_limits<float>::quiet_NaN();
    }
  }
};

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
