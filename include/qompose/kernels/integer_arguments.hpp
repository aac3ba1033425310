// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What integer-only layers hand to their kernels.

#include <cstddef>
#include <cstdint>

#include "qompose/kernels/arguments.hpp"
#include "qompose/packing/panels.hpp"

namespace qompose::detail {

/// Rows of 8-bit activations to make tiles of.
struct prepare_codes_arguments {
  const std::uint8_t* codes = nullptr;  ///< [n_tokens, in_features], int8 or uint8
  std::size_t stride = 0;
  std::size_t n_tokens = 0;
  /// 0x80 for uint8: turns each code into itself - 128 as int8; 0 for int8.
  std::uint8_t flip = 0;
  panel_geometry geometry;  ///< of the weights: one group
  activation_tiles tiles;   ///< values and corrections, overwritten
};

/// One product, for any range of panels, whose int32 sums go to the output of integers that
/// `Output` is for; scales, bias and y of the base are not used.
template <class Output>
struct integer_matmul_arguments : matmul_arguments {
  Output output;
};

/// int32 sums to codes; every array has a whole number of panels of elements.
struct requantize_arguments {
  const std::int32_t* bias = nullptr;       ///< [rows], added to the sums
  const std::int32_t* mantissas = nullptr;  ///< [rows], see fixed_point_multiplier
  const std::int32_t* shifts = nullptr;     ///< [rows]
  bool has_left_shift = false;              ///< whether any shift is negative
  std::int32_t zero_point = 0;
  std::int32_t lowest = 0;  ///< bounds of the codes, after the zero point is added
  std::int32_t highest = 0;
  std::size_t rows = 0;
  void* y = nullptr;  ///< [n_tokens, rows], int8 or uint8
  std::size_t y_stride = 0;
};

/// int32 sums as they are, bias added.
struct sum_arguments {
  const std::int32_t* bias = nullptr;  ///< as above
  std::size_t rows = 0;
  std::int32_t* y = nullptr;  ///< [n_tokens, rows]
  std::size_t y_stride = 0;
};

}  // namespace qompose::detail
