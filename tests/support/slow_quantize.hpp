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

#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/progressive.hpp"
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
template <std::size_t R, std::size_t C>
group_position group_of(qompose::per_block<R, C>, std::size_t r, std::size_t c) {
  return {r / R, C == qompose::whole_rows ? 0 : c / std::max<std::size_t>(C, 1)};
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

/// The largest power of two up to x > 0, by repeated doubling and halving.
inline double power_of_two_below(double x) {
  double power = 1.0;
  while (power > x) power /= 2.0;
  while (2.0 * power <= x) power *= 2.0;
  return power;
}

/// What the fitting rules know of a group.
struct slow_group {
  float lowest = std::numeric_limits<float>::infinity();
  float highest = -std::numeric_limits<float>::infinity();
  double magnitudes = 0.0;  ///< sum of them
  double kept = 0.0;        ///< sum of those above the ternary threshold
  std::size_t count = 0;
  std::size_t kept_count = 0;

  [[nodiscard]] float threshold() const {
    return static_cast<float>(static_cast<double>(0.7f) *
                              (magnitudes / static_cast<double>(count)));
  }
};

/// Codebooks and progressive scales have tests of their own.
template <class Spec>
inline constexpr bool has_slow_values = [] {
  if constexpr (qompose::number_format<Spec>) {
    return true;
  } else if constexpr (qompose::learned_format<typename Spec::element>) {
    return false;
  } else {
    return !qompose::is_progressive<typename Spec::scale_type::format>;
  }
}();

template <class Spec>
matrix slow_values(const matrix& x);

/// The stored values of scales: a scale that is not 0 keeps at least the smallest integer.
template <class Format>
matrix slow_scales(const matrix& scales) {
  matrix stored = slow_values<Format>(scales);
  if constexpr (qompose::quant_spec<Format>) {
    using element = typename Format::element;
    if constexpr (qompose::integer_format<element> && qompose::is_unsigned_format<element>) {
      const auto position = [](std::size_t r, std::size_t c) {
        return group_of(typename Format::granularity_type(), r, c);
      };
      matrix raised = scales;
      for (std::size_t r = 0; r < scales.rows(); ++r) {
        for (std::size_t c = 0; c < scales.cols(); ++c) {
          if (stored(r, c) != 0.0f || scales(r, c) == 0.0f) continue;
          float top = 0.0f;
          for (std::size_t i = 0; i < scales.rows(); ++i) {
            for (std::size_t j = 0; j < scales.cols(); ++j) {
              if (position(i, j) == position(r, c)) top = std::max(top, scales(i, j));
            }
          }
          raised(r, c) = top / element::max_finite;
        }
      }
      stored = slow_values<Format>(raised);
    }
  }
  return stored;
}

/// The values of `x` after storing them as `Spec` with the scales of its default rule.
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
    constexpr bool is_ternary = std::is_same_v<element, qompose::ternary>;
    constexpr bool is_binary = std::is_same_v<element, qompose::binary>;
    constexpr bool is_mx = std::is_same_v<scale_format, qompose::e8m0>;
    const auto position = [](std::size_t r, std::size_t c) {
      return group_of(typename Spec::granularity_type(), r, c);
    };

    std::map<group_position, slow_group> groups;
    std::size_t scale_rows = 0;
    std::size_t scale_cols = 0;
    for (std::size_t r = 0; r < x.rows(); ++r) {
      for (std::size_t c = 0; c < x.cols(); ++c) {
        const group_position at = position(r, c);
        slow_group& group = groups[at];
        group.lowest = std::min(group.lowest, x(r, c));
        group.highest = std::max(group.highest, x(r, c));
        group.magnitudes += std::fabs(static_cast<double>(x(r, c)));
        ++group.count;
        scale_rows = std::max(scale_rows, at.first + 1);
        scale_cols = std::max(scale_cols, at.second + 1);
      }
    }
    for (std::size_t r = 0; r < x.rows(); ++r) {
      for (std::size_t c = 0; c < x.cols(); ++c) {
        slow_group& group = groups[position(r, c)];
        if (!(std::fabs(x(r, c)) > group.threshold())) continue;
        group.kept += std::fabs(static_cast<double>(x(r, c)));
        ++group.kept_count;
      }
    }

    constexpr float empty = qompose::quant_spec<scale_format> ? 0.0f : is_mx ? 0x1p-127f : 1.0f;
    matrix scales(scale_rows, scale_cols);
    matrix zeros(scale_rows, scale_cols);
    for (const auto& [at, group] : groups) {
      // Minima that are stored as unsigned codes cannot be positive in one place only.
      constexpr bool from_zero =
          has_zero || (has_minimum && qompose::quant_spec<typename Spec::zero_type::format> &&
                       std::is_same_v<typename zero::format, qompose::six_bit_scales>);
      const float low = from_zero ? std::min(group.lowest, 0.0f) : group.lowest;
      const float high = has_zero ? std::max(group.highest, 0.0f) : group.highest;
      const float peak = std::max(std::abs(low), std::abs(high));
      float scale = (has_zero || has_minimum ? high - low : peak) / element::max_finite;
      if (!has_zero && !has_minimum && qompose::is_unsigned_format<element>) {
        scale = (-low > high ? low : std::max(high, 0.0f)) / element::max_finite;
      }
      if (is_ternary) {
        scale = group.kept_count == 0
                    ? 0.0f
                    : static_cast<float>(group.kept / static_cast<double>(group.kept_count));
      }
      if (is_binary) {
        scale = static_cast<float>(group.magnitudes / static_cast<double>(group.count));
      }
      if (is_mx && peak > 0.0f) {
        scale = static_cast<float>(power_of_two_below(static_cast<double>(peak)) /
                                   power_of_two_below(static_cast<double>(element::max_finite)));
      }
      scales(at.first, at.second) = scale != 0.0f ? scale : empty;
      if (has_minimum) zeros(at.first, at.second) = low;
      if (has_zero && scale > 0.0f) zeros(at.first, at.second) = -low / scale;
    }
    scales = slow_scales<scale_format>(scales);
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
        } else if constexpr (is_ternary) {
          const float magnitude = std::fabs(x(r, c)) > groups[at].threshold() ? scale : 0.0f;
          value = x(r, c) < 0.0f ? -magnitude : magnitude;
        } else {
          value = scale == 0.0f ? 0.0f : scale * nearest_value<element>(x(r, c) / scale);
        }
      }
    }
  }
  return out;
}

}  // namespace qompose_tests
