// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Which weights become 0 when only -1, 0 and 1 are left, and what 1 stands for.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {

/// Which weights the scale of ternary weights is the mean magnitude of.
enum class ternary_scale {
  kept_weights,  ///< those above the threshold: the best scale for them
  all_weights,   ///< all, as where the L1 norm of a channel is at hand anyway
};

/// Weights whose magnitude exceeds `factor` * mean |w| keep their sign; the scale is the mean
/// magnitude of these, or of all.
///
/// @par Source
/// Li et al., "Ternary Weight Networks", 2016, arXiv:1605.04711, equations 5 and 6.
struct ternary_threshold {
  float factor = 0.7f;  ///< times mean |w|, >= 0
  ternary_scale scale = ternary_scale::kept_weights;

  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    double all = 0.0;
    for (std::size_t i = 0; i < n; ++i) all += std::fabs(static_cast<double>(values[i]));
    const double mean = all / static_cast<double>(n);
    const auto threshold = static_cast<float>(static_cast<double>(factor) * mean);
    double kept = 0.0;
    std::size_t count = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const float magnitude = std::fabs(values[i]);
      if (!(magnitude > threshold)) continue;
      kept += static_cast<double>(magnitude);
      ++count;
    }
    const double alpha = scale == ternary_scale::all_weights ? mean
                         : count > 0                         ? kept / static_cast<double>(count)
                                                             : 0.0;
    return {static_cast<float>(alpha), 0.0f, threshold};
  }
};

/// The threshold and scale of least squared error: of all k, keeps the k largest magnitudes, with
/// their mean as the scale, for which (sum of them)^2 / k is largest.
///
/// @par Cost  sorts a copy of the group
/// @par Source
/// Li et al., "Ternary Weight Networks", 2016, arXiv:1605.04711, equation 4, solved exactly.
struct ternary_optimum {
  template <class Group>
  [[nodiscard]] fitted_scale fit(const float* values, std::size_t n) const {
    std::vector<float> magnitudes(n);
    for (std::size_t i = 0; i < n; ++i) magnitudes[i] = std::fabs(values[i]);
    std::sort(magnitudes.begin(), magnitudes.end(), std::greater<>());
    double sum = 0.0;
    double best = 0.0;
    fitted_scale fitted;
    for (std::size_t k = 1; k <= n; ++k) {
      sum += static_cast<double>(magnitudes[k - 1]);
      // Equal magnitudes share a fate.
      if (k < n && magnitudes[k] == magnitudes[k - 1]) continue;
      const double gain = sum * sum / static_cast<double>(k);
      if (!(gain > best)) continue;
      best = gain;
      const float next = k < n ? magnitudes[k] : 0.0f;
      fitted = {static_cast<float>(sum / static_cast<double>(k)), 0.0f, next};
    }
    return fitted;
  }
};

static_assert(fitting_rule<ternary_threshold> && fitting_rule<ternary_optimum>);

}  // namespace qompose
