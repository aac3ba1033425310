// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a composition costs in bits, scales, zero points and codebooks included.

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

/// How many codebooks a matrix of this spec has: one a group, or one in all.
template <quant_spec Spec>
[[nodiscard]] constexpr std::size_t codebooks_of(std::size_t rows, std::size_t cols) noexcept {
  const scale_grid grid = scales_of<typename Spec::granularity_type>(rows, cols);
  const std::size_t groups = grid.rows * grid.cols;
  return is_shared_codebook<typename Spec::element> && groups > 0 ? 1 : groups;
}

/// Bits that a [rows, cols] matrix takes as `Spec`, before rounding to bytes.
template <tensor_spec Spec>
[[nodiscard]] constexpr std::size_t total_bits(std::size_t rows, std::size_t cols) noexcept {
  using parts = detail::spec_parts<Spec>;
  using element = typename parts::element;
  std::size_t sum = rows * cols * static_cast<std::size_t>(element::bits);
  if constexpr (quant_spec<Spec>) {
    const scale_grid grid = scales_of<typename Spec::granularity_type>(rows, cols);
    if constexpr (parts::has_scale) {
      sum += total_bits<typename parts::scale_format>(grid.rows, grid.cols);
    }
    if constexpr (parts::has_zero) {
      sum += total_bits<typename parts::zero_type::format>(grid.rows, grid.cols);
    }
    if constexpr (parts::has_codebook) {
      sum += codebooks_of<Spec>(rows, cols) * static_cast<std::size_t>(element::entries) *
             static_cast<std::size_t>(element::entry::bits);
    }
  }
  return sum;
}

/// Bits per element of a [rows, cols] matrix stored as `Spec`, scales, zero points, minima and
/// codebooks included.
template <tensor_spec Spec>
[[nodiscard]] constexpr double bits_per_element(std::size_t rows, std::size_t cols) noexcept {
  return static_cast<double>(total_bits<Spec>(rows, cols)) / static_cast<double>(rows * cols);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
