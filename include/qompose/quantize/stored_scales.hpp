// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Scales that a layer stores for its activations: how many, which, and rounding by them.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/quantize/require.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/rules/default_rule.hpp"

namespace qompose::detail {

/// What a layer that stores no scales has in their place.
struct no_stored_scales {
  [[nodiscard]] QOMPOSE_INLINE static constexpr const float* data() noexcept { return nullptr; }
  [[nodiscard]] QOMPOSE_INLINE static constexpr std::size_t size() noexcept { return 0; }
};

inline namespace QOMPOSE_ISA {

/// How many scales rows of `cols` elements have.
template <quant_spec Spec>
[[nodiscard]] constexpr std::size_t stored_scale_count(std::size_t cols) noexcept {
  return cols == 0 ? 0 : divide_up(cols, Spec::granularity_type::group_cols(cols));
}

/// The scales with which nothing saturates, as their format holds them; 1 for groups of zeros.
///
/// @param peaks  the largest magnitude of each column, finite
/// @throws qompose::value_error where a scale is past the range of its format
template <quant_spec Spec>
[[nodiscard]] aligned_buffer<float> fit_stored_scales(const char* what,
                                                      std::span<const float> peaks) {
  using format = typename Spec::scale_type::format;
  aligned_buffer<float> scales(stored_scale_count<Spec>(peaks.size()));
  for (std::size_t g = 0; g < scales.size(); ++g) {
    const std::size_t step = Spec::granularity_type::group_cols(peaks.size());
    float peak = 0.0f;
    for (std::size_t c = g * step; c < std::min((g + 1) * step, peaks.size()); ++c) {
      peak = std::max(peak, peaks[c]);
    }
    const float scale = default_rule{}.template fit_range<group_of<Spec>>({-peak, peak}).scale;
    if (!can_hold<format>(scale)) throw_scale_error(what, 0, g);
    scales[g] = format::decode(format::encode(scale));
    if (!(peak > 0.0f && scales[g] > 0.0f)) scales[g] = 1.0f;
  }
  return scales;
}

/// @throws qompose::shape_error unless there are as many scales as rows of `cols` elements have,
///         qompose::value_error unless each is positive, finite and a number of its format
template <quant_spec Spec>
void require_stored_scales(const char* what, std::span<const float> scales, std::size_t cols) {
  using format = typename Spec::scale_type::format;
  const std::size_t wanted = stored_scale_count<Spec>(cols);
  if (scales.size() != wanted) {
    throw shape_error(std::string(what) + ": " + std::to_string(scales.size()) +
                      " elements, expected " + std::to_string(wanted));
  }
  for (std::size_t g = 0; g < scales.size(); ++g) {
    const float scale = scales[g];
    const bool is_positive = scale > 0.0f && std::isfinite(scale);
    if (is_positive && format::decode(format::encode(scale)) == scale) continue;
    throw value_error(std::string(what) + ": element " + std::to_string(g) + " is " +
                      std::to_string(scale) + ", expected a positive number of " +
                      std::string(format::name));
  }
}

/// Rounds one row in place to what its codes by stored scales stand for; saturates at the largest
/// code of either sign. The row becomes NaN where a value is NaN or infinite.
template <quant_spec Spec>
void round_row_by(float* row, std::size_t n, const float* scales) {
  using element = typename Spec::element;
  constexpr std::size_t most_codes = 512;
  constexpr std::size_t most_groups = 64;
  const auto kernels = best_codec<element>();
  const std::size_t step = Spec::granularity_type::group_cols(n);
  // Several whole groups at a time, or a part of one.
  const std::size_t whole = std::min(most_codes / step, most_groups);
  value_range ranges[most_groups];
  typename element::storage_type codes[most_codes];
  for (std::size_t at = 0; at < n;) {
    const std::size_t piece = whole > 0 ? whole * step : std::min(most_codes, step - at % step);
    const std::size_t size = std::min(piece, n - at);
    const std::size_t group = std::min(step, size);
    const float* piece_scales = scales + at / step;
    kernels.ranges(row + at, size, group, true, ranges);
    for (std::size_t g = 0; g < divide_up(size, group); ++g) {
      if (!(ranges[g].highest == ranges[g].highest)) {
        std::fill_n(row, n, std::numeric_limits<float>::quiet_NaN());
        return;
      }
      // Before the division, whose quotient could overflow.
      const float limit = element::max_finite * piece_scales[g];
      if (ranges[g].highest <= limit) continue;
      float* values = row + at + g * group;
      const std::size_t count = std::min(group, size - g * group);
      for (std::size_t i = 0; i < count; ++i) values[i] = std::clamp(values[i], -limit, limit);
      ranges[g] = {-limit, limit};
    }
    kernels.encode(row + at, size, group, piece_scales, nullptr, ranges, codes);
    kernels.decode(codes, size, group, piece_scales, nullptr, row + at);
    at += size;
  }
}

/// What a kernel calls to round a row of activations to `Spec` by stored scales.
template <quant_spec Spec>
struct round_by_stored_scales {
  static constexpr bool has_stored_scales = true;
  QOMPOSE_INLINE static void Run(float* row, std::size_t n, const float* scales) {
    round_row_by<Spec>(row, n, scales);
  }
};

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
