// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What crosses the border into the attention kernels.

#include <cstddef>
#include <cstdint>

#include "qompose/core/config.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// The longest head that the attention kernels take.
inline constexpr std::size_t max_head_dim = 256;

namespace detail {

/// Query rows that one piece of attention work takes.
inline constexpr std::size_t attention_rows = 24;

/// One side of a cache: [n_kv_heads][capacity][padded_dim] codes, [n_kv_heads][capacity] scales.
struct cache_side {
  std::byte* codes = nullptr;
  float* scales = nullptr;

  /// Where scale `at` lies; null for a side that has none.
  [[nodiscard]] QOMPOSE_INLINE float* scale(std::size_t at) const noexcept {
    return scales == nullptr ? nullptr : scales + at;
  }
};

/// Tokens to append: k and v are [n_tokens, n_kv_heads * head_dim].
struct append_arguments {
  cache_side keys;
  cache_side values;
  std::size_t capacity = 0;
  std::size_t head_dim = 0;
  std::size_t padded_dim = 0;
  std::size_t first = 0;
  std::size_t n_tokens = 0;
  const float* k = nullptr;
  std::size_t k_stride = 0;
  const float* v = nullptr;
  std::size_t v_stride = 0;
};

/// Queries: q and y are [n_queries, n_heads * head_dim]; query i sees tokens 0 .. first + i.
struct attention_arguments {
  cache_side keys;
  cache_side values;
  std::size_t capacity = 0;
  std::size_t head_dim = 0;
  std::size_t padded_dim = 0;
  std::size_t first = 0;
  std::size_t group = 1;  ///< query heads a KV head
  const float* q = nullptr;
  std::size_t q_stride = 0;
  float* y = nullptr;
  std::size_t y_stride = 0;
};

}  // namespace detail
}  // namespace qompose
