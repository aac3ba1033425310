// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Scales that clip a fixed share of the values.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// The value below which `share` of the values lie, interpolated between neighbours in order.
[[nodiscard]] inline float quantile(std::vector<float>& values, double share) {
  const double place = share * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(place);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(values.begin(), at, values.end());
  const auto low = static_cast<double>(*at);
  if (below + 1 == values.size()) return *at;
  const auto high = static_cast<double>(*std::min_element(at + 1, values.end()));
  return static_cast<float>(low + (place - static_cast<double>(below)) * (high - low));
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// The codes cover the share `keep` of the values and clip the rest: the largest magnitudes, or,
/// where an offset is stored, half of them at each end.
///
/// @par Cost  a copy of the group and a partial sort
struct percentile {
  float keep = 0.999f;  ///< in (0, 1]

  template <class Group>
  [[nodiscard]] fitted_scale fit(const float* values, std::size_t n) const {
    std::vector<float> copy(values, values + n);
    if constexpr (Group::offset == offset_kind::none) {
      for (float& value : copy) value = std::fabs(value);
      const float peak = detail::quantile(copy, static_cast<double>(keep));
      return detail::spread<Group>({-peak, peak});
    } else {
      const double outside = (1.0 - static_cast<double>(keep)) / 2.0;
      const float lowest = detail::quantile(copy, outside);
      return detail::spread<Group>({lowest, detail::quantile(copy, 1.0 - outside)});
    }
  }
};

static_assert(fitting_rule<percentile>);

}  // namespace qompose
