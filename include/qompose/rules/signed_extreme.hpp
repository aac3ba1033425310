// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Scales whose sign puts the most negative code to use.

#include <cmath>
#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {

/// The value of largest magnitude maps to the most negative code, which lies one step further out
/// than the most positive one; the scale takes the sign that this needs. Where an offset is stored,
/// the range of the values maps to the range of the codes.
///
/// Codes are floor(value * (1 / scale) + 1/2), with the scale (and minimum) before its format
/// rounds it, so that Q4_0, Q4_1, Q5_0 and Q5_1 come out as ggml's reference makes them, byte for
/// byte. A group of zeros has scale 0. Scales that are quantized themselves take the nearest codes
/// instead.
///
/// @par Source
/// The types Q4_0 and Q5_0 of ggml.
struct signed_extreme {
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    using element = typename Group::element;
    if constexpr (Group::offset == offset_kind::none && integer_format<element> &&
                  !is_unsigned_format<element> && Group::has_signed_scale) {
      float extreme = 0.0f;
      for (std::size_t i = 0; i < n; ++i) {
        if (std::fabs(values[i]) > std::fabs(extreme)) extreme = values[i];
      }
      return {extreme / static_cast<float>(element::min_code)};
    } else {
      return detail::spread<Group>(detail::range_of(values, n));
    }
  }

  /// The code of one value, see above.
  template <class Group>
    requires integer_format<typename Group::element> && (Group::offset != offset_kind::zero_point)
  [[nodiscard]] QOMPOSE_INLINE typename Group::element::storage_type
      encode(float value, fitted_scale fitted) const noexcept {
    using element = typename Group::element;
    const float inverse = fitted.scale != 0.0f ? 1.0f / fitted.scale : 0.0f;
    // A product that is rounded on its own: through double no compiler fuses it with the sum.
    const auto scaled = static_cast<float>(static_cast<double>(value - fitted.minimum) *
                                           static_cast<double>(inverse));
    const float shifted = scaled + (0.5f - static_cast<float>(element::min_code));
    const auto field = static_cast<int>(shifted);
    constexpr int top = element::max_code - element::min_code;
    return static_cast<typename element::storage_type>((field < top ? field : top) +
                                                       element::min_code);
  }
};

static_assert(fitting_rule<signed_extreme>);

}  // namespace qompose
