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

/// The value of the code nearest to a scaled value.
template <number_format Element>
[[nodiscard]] QOMPOSE_INLINE constexpr float nearest_value(float scaled) noexcept {
  if constexpr (integer_format<Element>) {
    constexpr auto lowest = static_cast<float>(Element::min_code);
    const float above = scaled < lowest ? lowest : scaled;
    const float clamped = above > Element::max_finite ? Element::max_finite : above;
    return (clamped + 0x1.8p23f) - 0x1.8p23f;
  } else {
    return Element::decode(Element::encode(scaled));
  }
}

/// Values are taken this many at a time, each with sums of its own, so that compilers vectorize
/// the loops without reordering a sum.
inline constexpr std::size_t fit_lanes = 16;

/// Sum of `term(value, nearest code)` over all values, for several terms at once.
template <number_format Element, std::size_t Terms, class Term>
QOMPOSE_INLINE void sum_over_codes(const float* values, std::size_t n, fitted_scale fitted,
                                   float (&sums)[Terms], Term&& term) noexcept {
  const float inverse = 1.0f / fitted.scale;
  float lanes[Terms][fit_lanes] = {};
  std::size_t i = 0;
  for (; i + fit_lanes <= n; i += fit_lanes) {
    for (std::size_t j = 0; j < fit_lanes; ++j) {
      const float value = values[i + j];
      const float code = nearest_value<Element>((value - fitted.minimum) * inverse);
      for (std::size_t k = 0; k < Terms; ++k) lanes[k][j] += term(k, value, code);
    }
  }
  for (std::size_t j = 0; i < n; ++i, ++j) {
    const float code = nearest_value<Element>((values[i] - fitted.minimum) * inverse);
    for (std::size_t k = 0; k < Terms; ++k) lanes[k][j] += term(k, values[i], code);
  }
  for (std::size_t k = 0; k < Terms; ++k) {
    sums[k] = 0.0f;
    for (const float lane : lanes[k]) sums[k] += lane;
  }
}

/// Sum of squared differences between values and what their nearest codes stand for.
template <number_format Element, offset_kind Offset>
[[nodiscard]] QOMPOSE_INLINE float squared_error(const float* values, std::size_t n,
                                                 fitted_scale fitted) noexcept {
  float sums[1];
  sum_over_codes<Element>(values, n, fitted, sums,
                          [&](std::size_t, float value, float code) QOMPOSE_FLATTEN {
                            const float d = value - (fitted.scale * code + fitted.minimum);
                            return d * d;
                          });
  return sums[0];
}

/// Scale and minimum of least squared error for the codes that `fitted` gives; scale 0 where the
/// codes leave them open. Zero points are integers, which regression cannot keep: those stay.
template <number_format Element, offset_kind Offset>
[[nodiscard]] QOMPOSE_INLINE fitted_scale regress(const float* values, std::size_t n,
                                                  fitted_scale fitted) noexcept {
  if (!(fitted.scale != 0.0f)) return {};
  if constexpr (Offset == offset_kind::zero_point) {
    return fitted;
  } else {
    // 0: sum of code^2, 1: of value code, 2: of code, 3: of value
    constexpr std::size_t terms = Offset == offset_kind::none ? 2 : 4;
    float sums[terms];
    sum_over_codes<Element>(
        values, n, fitted, sums, [](std::size_t k, float value, float code) QOMPOSE_FLATTEN {
          return k == 0 ? code * code : k == 1 ? value * code : k == 2 ? code : value;
        });
    if constexpr (Offset == offset_kind::none) {
      return {sums[0] > 0.0f ? sums[1] / sums[0] : 0.0f, 0.0f};
    } else {
      const auto count = static_cast<float>(n);
      const float variance = sums[0] - sums[2] * sums[2] / count;
      if (!(variance > 0.0f)) return {};
      const float scale = (sums[1] - sums[2] * sums[3] / count) / variance;
      return {scale, (sums[3] - scale * sums[2]) / count};
    }
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
  template <number_format Element, offset_kind Offset, bool SignedScale = false>
  QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    return detail::spread<Element, Offset>(detail::range_of(values, n));
  }
};

/// Tries `grid` clipping ratios from 1 down to `lowest_ratio`; for the codes that each gives, finds
/// the scale (and minimum) of least squared error, and keeps the best. Never worse than `absmax`.
///
/// Codes of two's complement reach one step further below zero than above, so both signs of the
/// scale are tried where scales may be negative.
///
/// @par Cost  `grid` passes over the values, twice that with signed scales
/// @par Source
/// The shrink search of Frantar et al., "GPTQ", ICLR 2023, arXiv:2210.17323, with squared error;
/// the scale of given codes is linear regression.
struct mse_search {
  int grid = 100;             ///< number of ratios tried, >= 1
  float lowest_ratio = 0.2f;  ///< in (0, 1]

  template <number_format Element, offset_kind Offset, bool SignedScale = false>
  QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    const detail::value_range range = detail::range_of(values, n);
    fitted_scale best = detail::spread<Element, Offset>(range);
    if (!(best.scale > 0.0f)) return best;
    float least = detail::squared_error<Element, Offset>(values, n, best);
    const auto consider = [&](fitted_scale candidate) QOMPOSE_FLATTEN {
      candidate = detail::regress<Element, Offset>(values, n, candidate);
      if (!(candidate.scale != 0.0f)) return;
      const float error = detail::squared_error<Element, Offset>(values, n, candidate);
      if (error < least) {
        least = error;
        best = candidate;
      }
    };
    for (int i = 0; i < grid; ++i) {
      const float ratio =
          1.0f - (1.0f - lowest_ratio) * static_cast<float>(i) / static_cast<float>(grid);
      consider(detail::spread<Element, Offset>({range.lowest * ratio, range.highest * ratio}));
      if constexpr (SignedScale && Offset == offset_kind::none && integer_format<Element>) {
        const float extreme = -range.lowest > range.highest ? range.lowest : range.highest;
        consider({extreme * ratio / static_cast<float>(Element::min_code), 0.0f});
      }
    }
    return best;
  }
};

/// A fitting rule: finds scale and minimum of n values for codes of a format.
template <class R>
concept fitting_rule = requires(const R& rule, const float* values, std::size_t n) {
  { rule.template fit<fp32, offset_kind::none, false>(values, n) } -> std::same_as<fitted_scale>;
};

}  // namespace qompose
