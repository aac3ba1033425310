// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rules that find the scale (and the minimum) of a group of values.
///
/// A rule is a value handed to `quantize` or `compress`; it is not part of the stored type.

#include <cmath>
#include <concepts>
#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// What a rule finds: value = scale * code + minimum; the minimum is 0 for symmetric codes.
struct fitted_scale {
  float scale = 0.0f;
  float minimum = 0.0f;
};

/// What is stored beside the scale, and therefore which range the codes must cover.
enum class offset_kind {
  none,        ///< value = scale * code, symmetric about 0
  zero_point,  ///< value = scale * (code - zero_point); the range always contains 0
  minimum,     ///< value = scale * code + minimum
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// Smallest and largest of n values.
struct value_range {
  float lowest = 0.0f;
  float highest = 0.0f;
};

[[nodiscard]] inline value_range range_of(const float* values, std::size_t n) noexcept {
  value_range range{values[0], values[0]};
  for (std::size_t i = 1; i < n; ++i) {
    range.lowest = values[i] < range.lowest ? values[i] : range.lowest;
    range.highest = values[i] > range.highest ? values[i] : range.highest;
  }
  return range;
}

/// The scale that spreads [lowest, highest] over the codes of `Element`.
template <number_format Element, offset_kind Offset>
[[nodiscard]] constexpr fitted_scale spread(value_range range) noexcept {
  if constexpr (Offset == offset_kind::minimum) {
    return {(range.highest - range.lowest) / Element::max_finite, range.lowest};
  } else if constexpr (Offset == offset_kind::zero_point) {
    const float lowest = range.lowest < 0.0f ? range.lowest : 0.0f;
    const float highest = range.highest > 0.0f ? range.highest : 0.0f;
    return {(highest - lowest) / Element::max_finite, lowest};
  } else {
    const float below = -range.lowest;
    const float peak = below > range.highest ? below : range.highest;
    return {peak / Element::max_finite, 0.0f};
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// The largest magnitude maps to the largest code; where an offset is stored, the range of the
/// values maps to the range of the codes. Nothing is clipped.
///
/// @par Source
/// Jacob et al., "Quantization and Training of Neural Networks", CVPR 2018, arXiv:1712.05877.
struct absmax {
  template <number_format Element, offset_kind Offset>
  QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    return detail::spread<Element, Offset>(detail::range_of(values, n));
  }
};

/// Tries `grid` clipping ratios from 1 down to `lowest_ratio` and keeps the one with the least
/// squared error; the larger ratio wins a tie.
///
/// @par Cost  `grid` passes over the values
/// @par Source
/// The shrink search of Frantar et al., "GPTQ", ICLR 2023, arXiv:2210.17323, with squared error.
struct mse_search {
  int grid = 100;             ///< number of ratios tried, >= 1
  float lowest_ratio = 0.2f;  ///< in (0, 1]

  template <number_format Element, offset_kind Offset>
  QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    const detail::value_range range = detail::range_of(values, n);
    fitted_scale best = detail::spread<Element, Offset>(range);
    if (!(best.scale > 0.0f)) return best;
    float least = error_of<Element>(values, n, best);
    for (int i = 1; i < grid; ++i) {
      const float ratio =
          1.0f - (1.0f - lowest_ratio) * static_cast<float>(i) / static_cast<float>(grid);
      const fitted_scale candidate = detail::spread<Element, Offset>(
          {range.lowest * ratio, range.highest * ratio});
      const float error = error_of<Element>(values, n, candidate);
      if (error < least) {
        least = error;
        best = candidate;
      }
    }
    return best;
  }

 private:
  /// Sum of squared errors in units of the scale squared, times it.
  template <number_format Element>
  QOMPOSE_INLINE static float error_of(const float* values, std::size_t n,
                                       fitted_scale fitted) noexcept {
    if (!(fitted.scale > 0.0f)) return HUGE_VALF;
    const float inverse = 1.0f / fitted.scale;
    float sum = 0.0f;
    for (std::size_t i = 0; i < n; ++i) {
      const float scaled = (values[i] - fitted.minimum) * inverse;
      const float difference = scaled - Element::decode(Element::encode(scaled));
      sum += difference * difference;
    }
    return sum * fitted.scale * fitted.scale;
  }
};

/// A fitting rule: finds scale and minimum of n values for codes of a format.
template <class R>
concept fitting_rule = requires(const R& rule, const float* values, std::size_t n) {
  { rule.template fit<fp32, offset_kind::none>(values, n) } -> std::same_as<fitted_scale>;
};

}  // namespace qompose
