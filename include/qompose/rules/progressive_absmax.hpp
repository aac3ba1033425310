// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The two scales of `progressive<int8>`.

#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {

/// A row's largest magnitude maps to 119, the largest range whose two-level reconstruction never
/// leaves int8; each group's range of these integers maps to the range of the codes by an integer
/// scale, which is rounded to nearest, or up so that nothing is clipped.
///
/// @par Source
/// Lin et al., "QServe", MLSys 2025, arXiv:2405.04532, section 4.1.
struct progressive_absmax {
  bool round_up = false;  ///< inner scales up instead of to nearest: clips nothing, errs a bit more

  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit_range(value_range range) const noexcept {
    return detail::spread<Group>(range);
  }
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    return fit_range<Group>(detail::range_of(values, n));
  }
};

static_assert(fitting_rule<progressive_absmax>);

}  // namespace qompose
