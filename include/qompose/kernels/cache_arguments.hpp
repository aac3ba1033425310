// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What crosses the border into the attention kernels.

#include <cstddef>
#include <cstdint>

#include "qompose/core/config.hpp"
#include "qompose/packing/cache_block.hpp"

namespace qompose {

/// The longest head that the attention kernels take.
inline constexpr std::size_t max_head_dim = 256;

namespace detail {

/// Query rows that one piece of attention work takes.
inline constexpr std::size_t attention_rows = 96;

/// Tokens in blocks, one after the other.
struct cache_region {
  const std::byte* const* blocks = nullptr;  ///< [n_kv_heads][head_stride]
  std::size_t head_stride = 0;
  std::size_t block_tokens = 1;
  std::size_t first = 0;      ///< the first token of the first block
  std::size_t values_at = 0;  ///< bytes of a block before its values

  [[nodiscard]] QOMPOSE_INLINE const std::byte* block(std::size_t head,
                                                      std::size_t token) const noexcept {
    return blocks[head * head_stride + (token - first) / block_tokens];
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t place(std::size_t token) const noexcept {
    return (token - first) % block_tokens;
  }
};

/// Consecutive tokens whose keys lie in one region, and whose values do.
struct cache_segment {
  std::size_t begin = 0;
  std::size_t end = 0;
  const cache_region* keys = nullptr;
  const cache_region* values = nullptr;
  bool keys_are_exact = false;
  bool values_are_exact = false;
};

/// Queries: q and y are [n_queries, n_heads * head_dim].
struct attention_arguments {
  /// Sinks, other first tokens, main ones, those of which one side waits, those of which both do.
  static constexpr std::size_t most_segments = 5;
  cache_segment segments[most_segments];
  std::size_t n_segments = 0;
  std::size_t head_dim = 0;
  std::size_t group = 1;   ///< query heads a KV head
  std::size_t first = 0;   ///< position of query 0
  std::size_t sinks = 0;   ///< tokens that every query sees
  std::size_t window = 0;  ///< newest tokens that a query sees; 0 for all
  bool is_causal = true;
  float scale = 1.0f;
  float soft_cap = 0.0f;               ///< 0 for none
  const float* sink_logits = nullptr;  ///< one a query head, or null
  const float* bias = nullptr;         ///< [n_queries, tokens], added to scores, or null
  std::size_t bias_stride = 0;
  const float* q = nullptr;
  std::size_t q_stride = 0;
  float* y = nullptr;
  std::size_t y_stride = 0;
  // For keys that are cached before rotary embedding.
  const float* cosines = nullptr;  ///< [positions][head_dim / 2]
  const float* sines = nullptr;
  const float* lane_cosines = nullptr;  ///< [head_dim / 2][16], of positions 0 to 15
  const float* lane_sines = nullptr;
  bool rotates_halves = true;  ///< pairs are i and i + head_dim / 2, or 2 i and 2 i + 1
  /// What positions past the sinks are counted from; positions of sinks are their own, and then no
  /// query stands past `last_position`.
  std::size_t position_shift = 0;
  std::size_t last_position = ~std::size_t{0};
  const float* key_entries = nullptr;    ///< of a codebook that all keys share
  const float* value_entries = nullptr;  ///< of a codebook that all values share
  const void* key_data = nullptr;        ///< of the transforms of either side
  const void* value_data = nullptr;
};

/// Where pieces of a query's tokens leave what is merged later.
struct attention_partial {
  float* outputs = nullptr;  ///< [rows, padded head_dim], not divided by totals
  float* peaks = nullptr;    ///< [rows]
  float* totals = nullptr;   ///< [rows]
};

/// Attention over one kind of cache by one instruction set; see kernels/attention-inl.hpp. Called
/// by address, so that what calls it is the same for all of them.
struct attention_kernel {
  void (*run)(const attention_arguments& a, std::size_t head, std::size_t first_row,
              std::size_t rows, std::size_t begin, std::size_t end,
              const attention_partial* partial) = nullptr;
  void (*merge)(const attention_arguments& a, std::size_t head, std::size_t rows,
                const attention_partial& first, std::size_t stride, std::size_t n_parts) = nullptr;
};

}  // namespace detail
}  // namespace qompose
