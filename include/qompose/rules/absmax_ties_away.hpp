// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Scales that clip nothing, with ties rounded away from zero.

#include <cmath>

#include "qompose/core/config.hpp"
#include "qompose/rules/absmax.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {

/// The scales of `absmax`; codes are value * (1 / scale) rounded to nearest, ties away from zero,
/// with the scale before its format rounds it. This is how ggml's reference makes Q8_0, byte for
/// byte. A group of zeros has scale 0. Scales that are quantized themselves take the nearest codes
/// instead.
///
/// @par Source
/// The type Q8_0 of ggml.
struct absmax_ties_away : absmax {
  /// The code of one value, see above.
  template <class Group>
    requires integer_format<typename Group::element> && (Group::offset != offset_kind::zero_point)
  [[nodiscard]] QOMPOSE_INLINE typename Group::element::storage_type
      encode(float value, fitted_scale fitted) const noexcept {
    const float inverse = fitted.scale != 0.0f ? 1.0f / fitted.scale : 0.0f;
    return Group::element::encode(std::round((value - fitted.minimum) * inverse));
  }
};

static_assert(fitting_rule<absmax_ties_away>);

}  // namespace qompose
