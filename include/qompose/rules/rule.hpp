// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a fitting rule is asked and what it answers.
///
/// A rule finds the scale (and the minimum) of a group of values. It is a value handed to
/// `quantize` or `compress` and not part of the stored type.

#include <concepts>
#include <cstddef>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/formats/e8m0.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// What a rule finds: value = scale * code + minimum; the minimum is 0 for symmetric codes.
struct fitted_scale {
  float scale = 0.0f;
  float minimum = 0.0f;
  float threshold = 0.0f;  ///< ternary only: larger magnitudes keep their sign, others become 0
};

/// What is stored beside the scale, and therefore which range the codes must cover.
enum class offset_kind {
  none,              ///< value = scale * code, symmetric about 0
  zero_point,        ///< value = scale * (code - zero_point); the range always contains 0
  minimum,           ///< value = scale * code + minimum
  negative_minimum,  ///< the same, where only minima up to 0 can be stored
};

/// Smallest and largest of some values.
struct value_range {
  float lowest = 0.0f;
  float highest = 0.0f;
};

/// How one group is stored; what a rule is asked to fit.
///
/// @tparam Element      the format of the codes
/// @tparam Offset       what is stored beside the scale
/// @tparam ScaleFormat  the number format of the scale's codes
template <element_format Element, offset_kind Offset, number_format ScaleFormat = fp32>
struct group_format {
  using element = Element;
  using scale_format = ScaleFormat;
  static constexpr offset_kind offset = Offset;
  /// Whether a scale may be negative.
  static constexpr bool has_signed_scale = !is_unsigned_format<ScaleFormat>;
  /// Whether a scale has to be a power of two.
  static constexpr bool has_power_of_two_scale = std::is_same_v<ScaleFormat, e8m0>;
};

/// A fitting rule: `fit<Group>(values, n)` finds the scale (and minimum) of n >= 1 values for a
/// @ref qompose::group_format. Scale 0 means that there is nothing to scale.
///
/// Two members are optional. `fit_range<Group>(range)` does the same from the smallest and the
/// largest value, for rules that need no more. `encode<Group>(value, fitted)` makes codes, for
/// rules that round in a way of their own.
template <class R>
concept fitting_rule = requires(const R& rule, const float* values, std::size_t n) {
  {
    rule.template fit<group_format<fp32, offset_kind::none>>(values, n)
  } -> std::same_as<fitted_scale>;
};

namespace detail {

template <class Rule, class Group>
concept fits_range = requires(const Rule& rule, value_range range) {
  { rule.template fit_range<Group>(range) } -> std::same_as<fitted_scale>;
};

template <class Rule, class Group>
concept makes_codes = requires(const Rule& rule, float value, fitted_scale fitted) {
  {
    rule.template encode<Group>(value, fitted)
  } -> std::same_as<typename Group::element::storage_type>;
};

inline namespace QOMPOSE_ISA {

[[nodiscard]] inline value_range range_of(const float* values, std::size_t n) noexcept {
  value_range range{values[0], values[0]};
  for (std::size_t i = 1; i < n; ++i) {
    range.lowest = values[i] < range.lowest ? values[i] : range.lowest;
    range.highest = values[i] > range.highest ? values[i] : range.highest;
  }
  return range;
}

/// The range that the codes have to cover.
template <offset_kind Offset>
[[nodiscard]] constexpr value_range covered(value_range range) noexcept {
  if constexpr (Offset == offset_kind::zero_point || Offset == offset_kind::negative_minimum) {
    if (range.lowest > 0.0f) range.lowest = 0.0f;
  }
  if constexpr (Offset == offset_kind::zero_point) {
    if (range.highest < 0.0f) range.highest = 0.0f;
  }
  return range;
}

/// The scale that spreads a range over the codes of a group.
template <class Group>
[[nodiscard]] QOMPOSE_INLINE constexpr fitted_scale spread(value_range range) noexcept {
  using element = typename Group::element;
  if constexpr (Group::offset != offset_kind::none) {
    const value_range full = covered<Group::offset>(range);
    return {(full.highest - full.lowest) / element::max_finite, full.lowest};
  } else {
    const float below = -range.lowest;
    if constexpr (is_unsigned_format<element>) {
      // One sign is lost; the larger side decides which, where the scale can say so.
      if (Group::has_signed_scale && below > range.highest) {
        return {range.lowest / element::max_finite};
      }
      return {(range.highest > 0.0f ? range.highest : 0.0f) / element::max_finite};
    }
    return {(below > range.highest ? below : range.highest) / element::max_finite};
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail
}  // namespace qompose
