// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a composition costs in bits, scales and zero points included.

#include <cstddef>
#include <type_traits>

#include "qompose/recipe/quant.hpp"

namespace qompose {

/// Number of scale rows and columns of a matrix.
struct scale_grid {
  std::size_t rows = 0;
  std::size_t cols = 0;
};

inline namespace QOMPOSE_ISA {

/// a / b rounded up.
[[nodiscard]] QOMPOSE_INLINE constexpr std::size_t divide_up(std::size_t a,
                                                             std::size_t b) noexcept {
  return b == 0 ? 0 : (a + b - 1) / b;
}

/// The smallest multiple of `step` that is not below n.
[[nodiscard]] QOMPOSE_INLINE constexpr std::size_t round_up(std::size_t n,
                                                            std::size_t step) noexcept {
  return divide_up(n, step) * step;
}

/// How many scales a matrix of this granularity has.
template <granularity G>
[[nodiscard]] constexpr scale_grid scales_of(std::size_t rows, std::size_t cols) noexcept {
  return {divide_up(rows, G::group_rows(rows)), divide_up(cols, G::group_cols(cols))};
}

/// Bits that a [rows, cols] matrix takes as `Spec`, before rounding to bytes.
template <tensor_spec Spec>
[[nodiscard]] constexpr std::size_t total_bits(std::size_t rows, std::size_t cols) noexcept {
  using parts = detail::spec_parts<Spec>;
  std::size_t sum = rows * cols * static_cast<std::size_t>(parts::element::bits);
  if constexpr (parts::scaled) {
    const scale_grid grid = scales_of<typename Spec::granularity_type>(rows, cols);
    sum += total_bits<typename parts::scale_format>(grid.rows, grid.cols);
    if constexpr (!std::is_same_v<typename parts::zero_type, no_zero>) {
      sum += total_bits<typename parts::zero_type::format>(grid.rows, grid.cols);
    }
  }
  return sum;
}

/// Bits per element of a [rows, cols] matrix stored as `Spec`, scales, zero points and minima
/// included.
template <tensor_spec Spec>
[[nodiscard]] constexpr double bits_per_element(std::size_t rows, std::size_t cols) noexcept {
  return static_cast<double>(total_bits<Spec>(rows, cols)) / static_cast<double>(rows * cols);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
