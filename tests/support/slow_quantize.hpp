// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Quantization by definition: element by element, with no regard for speed or memory.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <utility>

#include "qompose/granularity/per_channel.hpp"
#include "qompose/granularity/per_group.hpp"
#include "qompose/granularity/per_tensor.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/recipe/quant.hpp"
#include "support/matrix.hpp"

namespace qompose_tests {

using group_position = std::pair<std::size_t, std::size_t>;

/// The scale (row, column) that element (r, c) uses.
inline group_position group_of(qompose::per_tensor, std::size_t, std::size_t) { return {0, 0}; }
inline group_position group_of(qompose::per_channel, std::size_t r, std::size_t) { return {r, 0}; }
inline group_position group_of(qompose::per_token, std::size_t r, std::size_t) { return {r, 0}; }
template <std::size_t N>
group_position group_of(qompose::per_group<N>, std::size_t r, std::size_t c) {
  return {r, c / N};
}

/// The value that `Format` has for x. Integers by rounding to even and clamping; floats by the
/// format itself, whose own test is exhaustive.
template <class Format>
float nearest_value(float x) {
  if constexpr (qompose::integer_format<Format>) {
    return std::clamp(std::nearbyint(x), static_cast<float>(Format::min_code),
                      static_cast<float>(Format::max_code));
  } else {
    return Format::decode(Format::encode(x));
  }
}

/// The values of `x` after storing them as `Spec` with absmax scales.
template <class Spec>
matrix slow_values(const matrix& x) {
  matrix out(x.rows(), x.cols());
  if constexpr (qompose::number_format<Spec>) {
    for (std::size_t i = 0; i < x.values().size(); ++i) {
      out.values()[i] = nearest_value<Spec>(x.values()[i]);
    }
  } else {
    using element = typename Spec::element;
    using scale_format = typename Spec::scale_type::format;
    using zero = typename Spec::zero_type;
    constexpr bool has_zero = qompose::is_zero_point<zero>;
    constexpr bool has_minimum = qompose::is_minimum<zero>;
    const auto position = [](std::size_t r, std::size_t c) {
      return group_of(typename Spec::granularity_type(), r, c);
    };

    struct range {
      float lowest = std::numeric_limits<float>::infinity();
      float highest = -std::numeric_limits<float>::infinity();
    };
    std::map<group_position, range> groups;
    std::size_t scale_rows = 0;
    std::size_t scale_cols = 0;
    for (std::size_t r = 0; r < x.rows(); ++r) {
      for (std::size_t c = 0; c < x.cols(); ++c) {
        const group_position at = position(r, c);
        range& group = groups[at];
        group.lowest = std::min(group.lowest, x(r, c));
        group.highest = std::max(group.highest, x(r, c));
        scale_rows = std::max(scale_rows, at.first + 1);
        scale_cols = std::max(scale_cols, at.second + 1);
      }
    }

    constexpr float empty = qompose::quant_spec<scale_format> ? 0.0f : 1.0f;
    matrix scales(scale_rows, scale_cols);
    matrix zeros(scale_rows, scale_cols);
    for (const auto& [at, group] : groups) {
      const float low = has_zero ? std::min(group.lowest, 0.0f) : group.lowest;
      const float high = has_zero ? std::max(group.highest, 0.0f) : group.highest;
      const float span =
          has_zero || has_minimum ? high - low : std::max(std::abs(low), std::abs(high));
      const float scale = span / element::max_finite;
      scales(at.first, at.second) = scale > 0.0f ? scale : empty;
      if (has_minimum) zeros(at.first, at.second) = low;
      if (has_zero && scale > 0.0f) zeros(at.first, at.second) = -low / scale;
    }
    scales = slow_values<scale_format>(scales);
    if constexpr (has_zero || has_minimum) zeros = slow_values<typename zero::format>(zeros);

    for (std::size_t r = 0; r < x.rows(); ++r) {
      for (std::size_t c = 0; c < x.cols(); ++c) {
        const group_position at = position(r, c);
        const float scale = scales(at.first, at.second);
        const float zero_or_minimum = zeros(at.first, at.second);
        float& value = out(r, c);
        if constexpr (has_zero) {
          const float code =
              scale == 0.0f
                  ? 0.0f
                  : nearest_value<element>(std::nearbyint(x(r, c) / scale) + zero_or_minimum);
          value = scale * (code - zero_or_minimum);
        } else if constexpr (has_minimum) {
          const float code =
              scale == 0.0f ? 0.0f : nearest_value<element>((x(r, c) - zero_or_minimum) / scale);
          // A volatile product keeps the compiler from fusing it with the sum.
          const volatile float product = scale * code;
          value = product + zero_or_minimum;
        } else {
          value = scale == 0.0f ? 0.0f : scale * nearest_value<element>(x(r, c) / scale);
        }
      }
    }
  }
  return out;
}

}  // namespace qompose_tests
