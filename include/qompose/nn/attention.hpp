// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Causal grouped-query attention over a cache.

#include <algorithm>
#include <cstddef>
#include <string>

#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/nn/kv_cache.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// Y = softmax(Q K^T / sqrt(head_dim)) V for the newest tokens of a cache.
///
/// Query head h reads KV head h / (n_heads / n_kv_heads). Query i stands at position
/// cache.size() - n_queries + i and sees the tokens up to its own.
///
/// @tparam Cache  a `kv_cache<...>`
/// @param q      queries after rotary embedding, [n_queries, n_heads * head_dim]
/// @param cache  holds the tokens of the queries already
/// @param y      [n_queries, n_heads * head_dim], overwritten; must not overlap q
/// @param run    who runs the pieces; the result does not depend on it
/// @throws qompose::shape_error if the shapes disagree
/// @throws qompose::argument_error if there are more queries than tokens in the cache
/// @par Cost  reads the cache once per 24 rows of (query, head of a group); no buffer of the size
///            of queries x tokens; no allocation
/// @par Source
/// Vaswani et al., NeurIPS 2017, arXiv:1706.03762; Ainslie et al. (GQA), arXiv:2305.13245; the
/// online softmax of Dao et al., NeurIPS 2022, arXiv:2205.14135.
template <executor Executor = serial, class Isa = isa_tag, class Cache>
void attention(matrix_view<const float> q, const Cache& cache, matrix_view<float> y,
               const Executor& run = {}) {
  const std::size_t kv_width = cache.n_kv_heads() * cache.head_dim();
  if (q.cols() == 0 || q.cols() % kv_width != 0) {
    throw shape_error("attention: q has " + std::to_string(q.cols()) +
                      " columns, expected a multiple of " + std::to_string(kv_width));
  }
  if (y.rows() != q.rows() || y.cols() != q.cols()) {
    throw_shape_error("attention: y", y.rows(), y.cols(), q.rows(), q.cols());
  }
  if (q.rows() > cache.size()) {
    throw argument_error("attention: " + std::to_string(q.rows()) + " queries, the cache holds " +
                         std::to_string(cache.size()) + " tokens");
  }
  detail::attention_arguments arguments = cache.attention_arguments();
  arguments.first = cache.size() - q.rows();
  arguments.group = q.cols() / kv_width;
  arguments.q = q.data();
  arguments.q_stride = q.row_stride();
  arguments.y = y.data();
  arguments.y_stride = y.row_stride();

  const auto kernel = detail::with_best_target<Isa>([]<class Target>() {
    return &Target::template attention<typename Cache::key_spec, typename Cache::value_spec>::Run;
  });
  const std::size_t rows = q.rows() * arguments.group;
  const std::size_t blocks = divide_up(rows, detail::attention_rows);
  run.for_each(cache.n_kv_heads() * blocks, [&](std::size_t i) {
    // The last rows see the most tokens: start with them.
    const std::size_t block = blocks - 1 - i / cache.n_kv_heads();
    const std::size_t first = block * detail::attention_rows;
    kernel(arguments, i % cache.n_kv_heads(), first,
           std::min(detail::attention_rows, rows - first));
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
