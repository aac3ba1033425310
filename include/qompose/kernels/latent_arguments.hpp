// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What crosses the border into the kernels of attention over latents.

#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/packing/code_layout.hpp"
#include "qompose/recipe/bits.hpp"

namespace qompose {

/// The longest latent that a cache takes.
inline constexpr std::size_t max_latent_rank = 4096;

namespace detail {

/// Tokens that are decoded, and whose keys are rebuilt, together.
inline constexpr std::size_t latent_tile = 64;

/// Factors of keys and values as the kernels read them; padding is 0.
struct latent_sizes {
  std::size_t rank = 0;
  std::size_t head_dim = 0;

  [[nodiscard]] QOMPOSE_INLINE std::size_t padded_rank() const noexcept {
    return round_up(rank, panel_rows);
  }
  /// Floats between rows of rank floats: an odd number of cache lines, so that rows do not crowd
  /// the same sets of a cache.
  [[nodiscard]] QOMPOSE_INLINE std::size_t rank_stride() const noexcept {
    return (divide_up(rank, panel_rows) | 1) * panel_rows;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t padded_dim() const noexcept {
    return round_up(head_dim, panel_rows);
  }
  /// Floats of the factors of a KV head.
  [[nodiscard]] QOMPOSE_INLINE std::size_t key_factors() const noexcept {
    return padded_dim() * rank_stride();
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t value_factors() const noexcept {
    return padded_dim() * padded_rank();
  }
};

/// What `attention_arguments` has, its segments and value entries aside, and latents in place of
/// keys and values.
struct latent_arguments : attention_arguments {
  latent_sizes sizes;
  cache_region latents;
  bool rotates = false;                  ///< else there is no rotary embedding
  const float* key_factors = nullptr;    ///< [n_kv_heads][padded_dim][rank_stride]
  const float* value_factors = nullptr;  ///< [n_kv_heads][padded_dim / 16][padded_rank][16]
};

/// Rows of queries that are worked on together, the same ones of each of some KV heads. Row r of a
/// head is query r / group of its query head r % group.
struct latent_block {
  std::size_t first_head = 0;
  std::size_t n_heads = 0;
  std::size_t first_row = 0;
  std::size_t rows = 0;  ///< of a head

  [[nodiscard]] QOMPOSE_INLINE std::size_t all_rows() const noexcept { return n_heads * rows; }
};

/// Memory of a block: what a run leaves for `Merge` and `Finish`, and what it needs itself.
struct latent_memory {
  float* sums = nullptr;     ///< [rows][rank_stride], weights times latents
  float* peaks = nullptr;    ///< [rows]
  float* totals = nullptr;   ///< [rows]
  float* queries = nullptr;  ///< [rows][padded_dim]
  float* keys = nullptr;     ///< [heads][tile / 16][padded_dim][16]; where nothing is rotated,
                             ///< queries that meet latents instead, [rows][rank_stride]
  float* tile = nullptr;     ///< [padded_rank / 16][tile][16]
  std::size_t floats = 0;    ///< of all of it

  /// @param memory  null to count
  QOMPOSE_INLINE latent_memory(const latent_arguments& a, const latent_block& b,
                               float* memory) noexcept {
    const auto take = [&](std::size_t n) QOMPOSE_FLATTEN {
      float* at = memory != nullptr ? memory + floats : nullptr;
      floats += n;
      return at;
    };
    const std::size_t rows = b.n_heads * b.rows;
    sums = take(rows * a.sizes.rank_stride());
    peaks = take(round_up(rows, panel_rows));
    totals = take(round_up(rows, panel_rows));
    queries = take(rows * a.sizes.padded_dim());
    keys = take(a.rotates ? b.n_heads * latent_tile * a.sizes.padded_dim()
                          : rows * a.sizes.rank_stride());
    tile = take(latent_tile * a.sizes.padded_rank());
  }
};

}  // namespace detail
}  // namespace qompose
