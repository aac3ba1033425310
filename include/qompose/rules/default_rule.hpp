// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The rule that a format's own publication gives, where none is named.

#include <cstddef>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/formats/binary.hpp"
#include "qompose/formats/ternary.hpp"
#include "qompose/rules/absmax.hpp"
#include "qompose/rules/kmeans.hpp"
#include "qompose/rules/mean_magnitude.hpp"
#include "qompose/rules/mx_scale.hpp"
#include "qompose/rules/rule.hpp"
#include "qompose/rules/ternary_threshold.hpp"

namespace qompose {

/// The rule that a group of this format is fitted with by default.
template <class Group>
struct natural_rule {
  using element = typename Group::element;
  using type = std::conditional_t<
      std::is_same_v<element, ternary>, ternary_threshold,
      std::conditional_t<std::is_same_v<element, binary>, mean_magnitude,
                         std::conditional_t<Group::has_power_of_two_scale, mx_floor, absmax>>>;
};

/// `mx_floor` for scales that are powers of two, `ternary_threshold` and `mean_magnitude` for
/// ternary and binary weights, `kmeans` for codebooks, and `absmax` for everything else.
struct default_rule {
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    return typename natural_rule<Group>::type{}.template fit<Group>(values, n);
  }
  template <class Group>
    requires detail::fits_range<typename natural_rule<Group>::type, Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit_range(value_range range) const noexcept {
    return typename natural_rule<Group>::type{}.template fit_range<Group>(range);
  }
  QOMPOSE_INLINE void fit_codebook(const float* values, std::size_t n, float* entries,
                                   std::size_t count) const {
    kmeans{}.fit_codebook(values, n, entries, count);
  }
};

static_assert(fitting_rule<default_rule>);

}  // namespace qompose
