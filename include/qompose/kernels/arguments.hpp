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
/// [padded columns / 4][tile_tokens] quads of codes, 4 or 8 bytes each as the product wants them,
/// or [padded columns][tile_tokens] floats; tokens past the last are zero.
struct activation_tiles {
  std::byte* values = nullptr;
  float* scales = nullptr;              ///< [tiles][code_groups][tile_tokens]; null for floats
  std::int32_t* corrections = nullptr;  ///< [tiles][groups][tile_tokens], see prepare
  float* sums = nullptr;                ///< the same shape: sums of codes, for offsets; may be null
};

/// Rows of floats to make tiles of.
struct prepare_arguments {
  const float* x = nullptr;  ///< [n_tokens, in_features]
  std::size_t x_stride = 0;
  std::size_t n_tokens = 0;
  panel_geometry geometry;          ///< as the product's
  std::size_t code_groups = 1;      ///< scales a token
  std::size_t code_group_cols = 0;  ///< columns that share one
  activation_tiles tiles;
  const float* stored_scales = nullptr;  ///< the same for every token; null where rows find theirs
};

/// Codes of `Format` whose scales are stored, as against those that each row finds.
template <class Format>
struct stored_scale_codes {
  static constexpr bool has_stored_scales = true;
};

/// Bytes between the rows of codes that a tile is made of: an odd number of cache lines, so that
/// rows of a power of two do not share their places in the L1 cache.
[[nodiscard]] QOMPOSE_INLINE constexpr std::size_t code_row_stride(std::size_t cols) noexcept {
  return (divide_up(cols, std::size_t{64}) | 1) * 64;
}

/// What shares a scale of activation codes.
enum class code_scales {
  of_tokens,  ///< a row
  of_groups,  ///< one or more whole groups of the weights
  of_parts,   ///< a part of a group of the weights
};

/// One product Y = X W^T, for any range of panels.
struct matmul_arguments {
  panel_pointers weights;
  /// Of the panels, but with groups as short as those of weights and of activation codes.
  panel_geometry geometry;
  std::size_t weight_groups = 1;        ///< scales a row of the weights
  std::size_t groups_a_scale = 1;       ///< groups of `geometry` that share one of these
  std::size_t code_groups = 1;          ///< scales a token
  std::size_t groups_a_code_scale = 1;  ///< groups of `geometry` that share one of these
  activation_tiles x;
  std::size_t n_tokens = 0;
  const float* bias = nullptr;  ///< [out_features] or null
  float* y = nullptr;           ///< [n_tokens, out_features]
  std::size_t y_stride = 0;
};

}  // namespace qompose::detail
