// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What crosses the border into the kernels: plain structs of pointers and sizes.

#include <cstddef>
#include <cstdint>

#include "qompose/packing/packed_matrix.hpp"
#include "qompose/packing/panels.hpp"

namespace qompose::detail {

/// Activations as the matrix kernels read them: tiles of `tile_tokens` tokens, each
/// [padded columns / 4][tile_tokens][4] codes (integers) or [padded columns][tile_tokens] floats;
/// tokens past the last are zero.
struct activation_tiles {
  std::byte* values = nullptr;
  float* scales = nullptr;              ///< [tiles][tile_tokens]; null for float activations
  std::int32_t* corrections = nullptr;  ///< [tiles][groups][tile_tokens], see prepare
  float* sums = nullptr;                ///< the same shape: sums of codes, for offsets; may be null
};

/// Rows of floats to make tiles of.
struct prepare_arguments {
  const float* x = nullptr;  ///< [n_tokens, in_features]
  std::size_t x_stride = 0;
  std::size_t n_tokens = 0;
  panel_geometry geometry;
  activation_tiles tiles;
};

/// Bytes between the rows of codes that a tile is made of.
[[nodiscard]] QOMPOSE_INLINE constexpr std::size_t code_row_stride(std::size_t cols) noexcept {
  return round_up(cols, 64);
}

/// One product Y = X W^T, for any range of panels.
struct matmul_arguments {
  panel_pointers weights;
  panel_geometry geometry;
  activation_tiles x;
  std::size_t n_tokens = 0;
  const float* bias = nullptr;  ///< [out_features] or null
  float* y = nullptr;           ///< [n_tokens, out_features]
  std::size_t y_stride = 0;
};

}  // namespace qompose::detail
