// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The scale and offset of one group, and where they are stored.

#include <cstddef>
#include <type_traits>

#include "qompose/formats/int_n.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/quantize/require.hpp"
#include "qompose/rules/rule.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose::detail {

/// What a rule found for one group, and what of it is to be stored.
struct group_fit {
  fitted_scale fitted;
  float scale = 0.0f;
  float offset = 0.0f;  ///< the minimum, or the zero point; 0 where neither is stored
};

inline namespace QOMPOSE_ISA {

/// The value a code stands for before its scale: clamps and rounds `value`, which is already
/// divided by the scale; a zero point is added between the two, as an integer.
template <number_format Element, class Zero>
[[nodiscard]] QOMPOSE_INLINE typename Element::storage_type encode_scaled(
    float value, float scale, float zero_or_minimum) noexcept {
  if constexpr (is_minimum<Zero>) {
    return Element::encode((value - zero_or_minimum) / scale);
  } else if constexpr (is_zero_point<Zero>) {
    const auto steps = round_to_code(value / scale, -0x1p22f, 0x1p22f);
    return Element::encode(static_cast<float>(steps) + zero_or_minimum);
  } else {
    return Element::encode(value / scale);
  }
}

/// What to store of a fit, before the formats of scale and offset round it.
template <quant_spec Spec, class Rule>
[[nodiscard]] QOMPOSE_INLINE group_fit to_store(fitted_scale fitted) noexcept {
  using group = group_of<Spec>;
  // A scale that is quantized itself is fitted with its neighbours; a 1 for an empty group would
  // stretch their range, and 0 decodes to the same zeros. E8M0 has its smallest code for this, and
  // rules that make another program's bytes store its 0, sign included.
  constexpr bool zero_if_empty = quant_spec<typename Spec::scale_type::format> ||
                                 group::has_power_of_two_scale || makes_codes<Rule, group>;
  const bool empty = !(fitted.scale != 0.0f);
  group_fit result{fitted, empty && !zero_if_empty ? 1.0f : fitted.scale};
  if constexpr (group::offset == offset_kind::zero_point) {
    result.offset = empty ? 0.0f : -fitted.minimum / fitted.scale;
  } else {
    result.offset = fitted.minimum;
  }
  return result;
}

/// The code of one value where it does not follow from the stored scale and offset: by the rule's
/// own rounding, or by a threshold.
template <quant_spec Spec, class Rule>
[[nodiscard]] QOMPOSE_INLINE typename Spec::element::storage_type encode_fitted(
    const Rule& rule, float value, const fitted_scale& fitted) noexcept {
  using element = typename Spec::element;
  if constexpr (makes_codes<Rule, group_of<Spec>>) {
    return rule.template encode<group_of<Spec>>(value, fitted);
  } else {
    (void)rule;
    if (fitted.threshold > 0.0f) return element::encode_beyond(value, fitted.threshold);
    return element::encode(value / (fitted.scale != 0.0f ? fitted.scale : 1.0f));
  }
}

/// Fits one group of values that lie side by side.
template <quant_spec Spec, class Rule>
[[nodiscard]] group_fit fit_group(const Rule& rule, const float* group, std::size_t size) {
  return to_store<Spec, Rule>(rule.template fit<group_of<Spec>>(group, size));
}

/// Stores a fit where scales do not depend on each other.
/// @return false where a part is past the range of its format
template <quant_spec Spec>
QOMPOSE_INLINE bool store_fit(quantized_matrix<Spec>& q, std::size_t r, std::size_t g,
                              const group_fit& fit) noexcept {
  using scale_format = typename Spec::scale_type::format;
  bool held = can_hold<scale_format>(fit.scale);
  q.scales().set_code(r, g, scale_format::encode(fit.scale));
  if constexpr (spec_parts<Spec>::has_zero) {
    using zero_format = typename Spec::zero_type::format;
    // Zero points are clamped by design, minima are not.
    if constexpr (is_minimum<typename Spec::zero_type>) {
      held = held && can_hold<zero_format>(fit.offset);
    }
    q.zeros().set_code(r, g, zero_format::encode(fit.offset));
  }
  return held;
}

/// Whether each scale and offset can be stored without knowing the others.
template <quant_spec Spec>
inline constexpr bool has_independent_scales = [] {
  if constexpr (!spec_parts<Spec>::has_scale) {
    return false;
  } else if constexpr (spec_parts<Spec>::has_zero) {
    return number_format<typename Spec::scale_type::format> &&
           number_format<typename Spec::zero_type::format>;
  } else {
    return number_format<typename Spec::scale_type::format>;
  }
}();

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
