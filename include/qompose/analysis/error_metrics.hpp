// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief How far an approximation is from what it stands for.

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "qompose/analysis/xtensor.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"

namespace qompose {

/// Several metrics, because formats fail in different ways.
struct error_metrics {
  double mean_squared = 0.0;  ///< mean (a - b)^2, units of b squared
  double relative_mean_squared =
      0.0;               ///< the same over mean b^2, dimensionless; infinite if b is 0
  double sqnr_db = 0.0;  ///< -10 log10 of the relative one, decibels
  double largest = 0.0;  ///< max |a - b|, units of b
  double zeroed = 0.0;   ///< share of elements of b other than 0 that a has as 0
};

inline namespace QOMPOSE_ISA {

/// A matrix view as an xtensor expression in double.
[[nodiscard]] inline xt::xtensor<double, 2> to_xtensor(matrix_view<const float> view) {
  xt::xtensor<double, 2> tensor(std::array<std::size_t, 2>{view.rows(), view.cols()});
  for (std::size_t r = 0; r < view.rows(); ++r) {
    for (std::size_t c = 0; c < view.cols(); ++c) tensor(r, c) = static_cast<double>(view(r, c));
  }
  return tensor;
}

/// Compares an approximation with the original.
///
/// @param approximation  [rows, cols], finite
/// @param original       the same shape, finite, at least one element
/// @throws qompose::shape_error if the shapes disagree or are empty
/// @par Cost  two double copies; all sums in double
[[nodiscard]] inline error_metrics measure_error(matrix_view<const float> approximation,
                                                 matrix_view<const float> original) {
  if (approximation.rows() != original.rows() || approximation.cols() != original.cols()) {
    throw_shape_error("measure_error: approximation", approximation.rows(), approximation.cols(),
                      original.rows(), original.cols());
  }
  if (original.rows() == 0 || original.cols() == 0) {
    throw shape_error("measure_error: no elements, expected at least one");
  }
  const xt::xtensor<double, 2> a = to_xtensor(approximation);
  const xt::xtensor<double, 2> b = to_xtensor(original);
  const auto count = static_cast<double>(b.size());
  const auto difference = a - b;

  error_metrics metrics;
  metrics.mean_squared = xt::sum(difference * difference)() / count;
  const double energy = xt::sum(b * b)() / count;
  metrics.relative_mean_squared =
      energy > 0.0 ? metrics.mean_squared / energy : std::numeric_limits<double>::infinity();
  metrics.sqnr_db = -10.0 * std::log10(metrics.relative_mean_squared);
  metrics.largest = xt::amax(xt::abs(difference))();
  std::size_t present = 0;
  std::size_t lost = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    if (b.data()[i] == 0.0) continue;
    ++present;
    if (a.data()[i] == 0.0) ++lost;
  }
  if (present > 0) metrics.zeroed = static_cast<double>(lost) / static_cast<double>(present);
  return metrics;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
