// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The scale of binary weights.

#include <cmath>
#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {

/// scale = mean |w|, the best one for signs: it minimizes the squared error of scale * sign(w).
///
/// @par Source
/// Rastegari et al., "XNOR-Net", ECCV 2016, arXiv:1603.05279, equation 6.
struct mean_magnitude {
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    double sum = 0.0;
    for (std::size_t i = 0; i < n; ++i) sum += std::fabs(static_cast<double>(values[i]));
    return {static_cast<float>(sum / static_cast<double>(n))};
  }
};

static_assert(fitting_rule<mean_magnitude>);

}  // namespace qompose
