// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Scales that clip nothing.

#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {

/// The largest magnitude maps to the largest code; where an offset is stored, the range of the
/// values maps to the range of the codes. Nothing is clipped.
///
/// @par Source
/// Jacob et al., "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877.
struct absmax {
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit_range(value_range range) const noexcept {
    return detail::spread<Group>(range);
  }
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    return fit_range<Group>(detail::range_of(values, n));
  }
};

static_assert(fitting_rule<absmax>);

}  // namespace qompose
