// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What numbers must be before they are stored, and the errors that say so.

#include <cmath>
#include <cstddef>
#include <string>

#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose::detail {
inline namespace QOMPOSE_ISA {

/// Throws unless every element is finite; rows count from `first_row` in the message.
/// @return the largest magnitude
/// @throws qompose::value_error naming the first position that is not
inline float require_finite(const char* what, matrix_view<const float> values,
                            std::size_t first_row = 0) {
  float peak = 0.0f;
  if (values.cols() == 0) return peak;
  const auto ranges = best_codec<fp32>().ranges;
  for (std::size_t r = 0; r < values.rows(); ++r) {
    const float* row = values.row(r);
    value_range range;
    ranges(row, values.cols(), values.cols(), true, &range);
    peak = std::fmax(peak, range.highest);
    if (std::isfinite(range.highest)) continue;
    for (std::size_t c = 0; c < values.cols(); ++c) {
      if (!std::isfinite(row[c])) {
        throw value_error(std::string(what) + ": element (" + std::to_string(first_row + r) + ", " +
                          std::to_string(c) + ") is " + (std::isnan(row[c]) ? "NaN" : "infinite") +
                          ", expected a finite number");
      }
    }
  }
  return peak;
}

/// Whether a scale or minimum keeps its size in its format: floats of 16 bits overflow to infinity,
/// formats of 8 bits and less saturate.
template <number_format Format>
[[nodiscard]] constexpr bool can_hold(float value) noexcept {
  const float magnitude = value < 0.0f ? -value : value;
  if constexpr (std::is_same_v<Format, fp16>) {
    return magnitude < 65520.0f;  // from there on numbers round to infinity
  } else if constexpr (is_plain_float<Format>) {
    const float stored = Format::decode(Format::encode(magnitude));
    return stored - stored == 0.0f;
  } else if constexpr (scale_only_format<Format>) {
    return magnitude - magnitude == 0.0f;
  } else {
    return magnitude <= Format::max_finite;
  }
}

/// @throws qompose::value_error that names a group whose scale or minimum is too large
[[noreturn]] inline void throw_scale_error(const char* what, std::size_t row, std::size_t group) {
  throw value_error(std::string(what) + ": the scale or minimum of row " + std::to_string(row) +
                    ", group " + std::to_string(group) +
                    " is past the range of its format; use scale<fp32> or bf16");
}

/// Throws unless every scale, zero point and minimum survived its format; groups count along rows.
/// @throws qompose::value_error naming the first that did not
template <tensor_spec Spec>
void require_finite_scales(const char* what, const quantized_matrix<Spec>& q,
                           std::size_t first_row = 0) {
  if constexpr (spec_parts<Spec>::has_scale) {
    const scale_grid grid = q.grid();
    for (std::size_t r = 0; r < grid.rows; ++r) {
      for (std::size_t g = 0; g < grid.cols; ++g) {
        bool finite = std::isfinite(q.scales().value(r, g));
        if constexpr (spec_parts<Spec>::has_zero) {
          finite = finite && std::isfinite(q.zeros().value(r, g));
        }
        if (!finite) throw_scale_error(what, first_row + r * q.group_rows(), g);
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
