// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Grouped-query attention over a cache.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/workspace.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/nn/kv_cache.hpp"
#include "qompose/nn/rope.hpp"

namespace qompose {

/// What a call of `attention` may ask for.
struct attention_options {
  /// Query i sees no token after its own; otherwise all tokens.
  bool is_causal = true;
  /// Newest tokens that a query sees, its own included; 0 for all. A cache that evicts has a window
  /// of its own, and the smaller one holds. A local layer of a model with local and global ones.
  std::size_t window = 0;
  /// What products of queries and keys are multiplied by; 0 for 1 / sqrt(head_dim).
  float scale = 0.0f;
  /// c of c tanh(score / c), to which scores are bounded; 0 for none.
  float soft_cap = 0.0f;
  /// A logit for each query head that takes part in the softmax and adds nothing to the sum; empty
  /// for none.
  std::span<const float> sinks = {};
  /// Added to scores, [n_queries, length of the sequence], -infinity to hide a token; empty for
  /// none.
  matrix_view<const float> bias = {};
  /// For a cache of keys before_rope: the table and the pairing. Queries
  /// then come before rotary embedding, too.
  const rope_table* rope = nullptr;
  rope_pairing pairing = rope_pairing::half;
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// What attention over a cache of `length` tokens asks of its arguments.
/// @param name  of the function, for messages
/// @throws qompose::shape_error, qompose::argument_error
inline void require_attention_shapes(std::string_view name, matrix_view<const float> q,
                                     matrix_view<float> y, std::size_t head_dim,
                                     std::size_t kv_width, std::size_t length,
                                     const attention_options& options) {
  if (q.cols() == 0 || q.cols() % kv_width != 0) {
    throw shape_error(std::string(name) + ": q has " + std::to_string(q.cols()) +
                      " columns, expected a multiple of " + std::to_string(kv_width));
  }
  if (y.rows() != q.rows() || y.cols() != q.cols()) {
    throw_shape_error((std::string(name) + ": y").c_str(), y.rows(), y.cols(), q.rows(), q.cols());
  }
  if (q.rows() > length) {
    throw argument_error(std::string(name) + ": " + std::to_string(q.rows()) +
                         " queries, the cache holds " + std::to_string(length) + " tokens");
  }
  const std::size_t n_heads = q.cols() / head_dim;
  if (!options.sinks.empty() && options.sinks.size() != n_heads) {
    throw shape_error(std::string(name) + ": sinks: " + std::to_string(options.sinks.size()) +
                      " logits, expected " + std::to_string(n_heads));
  }
  const matrix_view<const float> bias = options.bias;
  if (bias.rows() > 0 && (bias.rows() != q.rows() || bias.cols() != length)) {
    throw_shape_error((std::string(name) + ": bias").c_str(), bias.rows(), bias.cols(), q.rows(),
                      length);
  }
}

/// Queries, results and options, beside what the arguments say of a cache with its head_dim and
/// window.
inline void set_call(attention_arguments& a, matrix_view<const float> q, matrix_view<float> y,
                     std::size_t kv_width, std::size_t length,
                     const attention_options& options) noexcept {
  a.first = length - q.rows();
  a.group = q.cols() / kv_width;
  a.is_causal = options.is_causal;
  if (options.window > 0) {
    a.window = a.window > 0 ? std::min(a.window, options.window) : options.window;
  }
  a.scale =
      options.scale != 0.0f ? options.scale : 1.0f / std::sqrt(static_cast<float>(a.head_dim));
  a.soft_cap = options.soft_cap;
  a.sink_logits = options.sinks.empty() ? nullptr : options.sinks.data();
  a.bias = options.bias.rows() > 0 ? options.bias.data() : nullptr;
  a.bias_stride = options.bias.row_stride();
  a.q = q.data();
  a.q_stride = q.row_stride();
  a.y = y.data();
  a.y_stride = y.row_stride();
}

/// Rotary embedding by a table.
inline void set_rotation(attention_arguments& a, const rope_table& table,
                         rope_pairing pairing) noexcept {
  a.cosines = table.cosines(0);
  a.sines = table.sines(0);
  a.lane_cosines = table.lane_cosines();
  a.lane_sines = table.lane_sines();
  a.rotates_halves = pairing == rope_pairing::half;
}

/// @throws qompose::argument_error if query 0 sees tokens before the oldest one that is left
inline void require_tokens(const attention_arguments& a, std::size_t oldest, std::size_t sinks) {
  const std::size_t seen = a.first + 1 > a.window ? a.first + 1 - a.window : 0;
  if (oldest <= std::max(seen, sinks)) return;
  throw argument_error("attention: query 0 sees tokens from " + std::to_string(seen) +
                       " on, those before " + std::to_string(oldest) + " have been dropped");
}

/// @throws qompose::argument_error without a table for heads of `dim` up to position `last`
inline void require_table(const rope_table* rope, std::size_t dim, std::size_t last) {
  if (rope != nullptr && rope->head_dim() == dim && rope->seq_len() > last) {
    return;
  }
  throw argument_error(
      "attention: keys are cached before rotary embedding and options.rope has no table for "
      "heads of " +
      std::to_string(dim) + " up to position " + std::to_string(last));
}

}  // namespace QOMPOSE_ISA

/// Tokens that one piece of work takes where there are few queries.
inline constexpr std::size_t attention_split = 2048;

/// How attention over a cache is cut into pieces: by shape alone, so that results are the same for
/// any number of threads.
struct attention_pieces {
  std::size_t rows = 0;        ///< of a KV head
  std::size_t blocks = 0;      ///< of rows
  std::size_t splits = 1;      ///< of tokens
  std::size_t first = 0;       ///< first token
  std::size_t split_size = 0;  ///< tokens of a split

  /// @param tokens  of the cache, the first to the last one that any query sees
  QOMPOSE_INLINE attention_pieces(std::size_t n_rows, std::size_t n_kv_heads, std::size_t begin,
                                  std::size_t end) noexcept
      : rows(n_rows), blocks(divide_up(n_rows, attention_rows)), first(begin) {
    // Enough work for many threads without cutting tokens.
    constexpr std::size_t plenty = 64;
    const std::size_t tokens = end - begin;
    if (blocks == 1 && n_kv_heads < plenty)
      splits = std::max<std::size_t>(1, tokens / attention_split);
    split_size = round_up(divide_up(tokens, splits), 64);
    if (split_size > 0) splits = divide_up(tokens, split_size);
  }
};

inline namespace QOMPOSE_ISA {

/// Runs a kernel over all rows of all KV heads.
template <class Executor>
void attend(const attention_kernel& kernel, const attention_arguments& a, std::size_t n_queries,
            std::size_t n_kv_heads, std::size_t length, const Executor& run, workspace& scratch) {
  const std::size_t begin = a.n_segments > 0 ? a.segments[0].begin : 0;
  const attention_pieces pieces(n_queries * a.group, n_kv_heads, begin, length);
  if (pieces.splits <= 1) {
    run.for_each(n_kv_heads * pieces.blocks, [&](std::size_t i) {
      // The last rows see the most tokens: start with them.
      const std::size_t first = (pieces.blocks - 1 - i / n_kv_heads) * attention_rows;
      kernel.run(a, i % n_kv_heads, first, std::min(attention_rows, pieces.rows - first), begin,
                 length, nullptr);
    });
    return;
  }
  const std::size_t padded = round_up(a.head_dim, panel_rows);
  const std::size_t stride = pieces.rows * (padded + 2);
  const std::size_t count = n_kv_heads * pieces.splits * stride;
  auto* sums = reinterpret_cast<float*>(scratch.reserve(count * sizeof(float)));
  const auto partial = [&](std::size_t head, std::size_t split) {
    float* at = sums + (head * pieces.splits + split) * stride;
    return attention_partial{at, at + pieces.rows * padded, at + pieces.rows * (padded + 1)};
  };
  run.for_each(n_kv_heads * pieces.splits, [&](std::size_t i) {
    const std::size_t split = i / n_kv_heads;
    const attention_partial left = partial(i % n_kv_heads, split);
    const std::size_t from = begin + split * pieces.split_size;
    kernel.run(a, i % n_kv_heads, 0, pieces.rows, from, std::min(from + pieces.split_size, length),
               &left);
  });
  run.for_each(n_kv_heads, [&](std::size_t head) {
    kernel.merge(a, head, pieces.rows, partial(head, 0), stride, pieces.splits);
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Y = softmax(Q K^T scale) V for the newest tokens of a cache.
///
/// Query head h reads KV head h / (n_heads / n_kv_heads). Query i stands at position
/// cache.length() - n_queries + i and sees the tokens up to its own, or what the options say. A
/// query that sees nothing gives zeros.
///
/// @tparam Cache  a `kv_cache<...>`
/// @param q        queries after rotary embedding (before it for keys before_rope), finite,
///                 [n_queries, n_heads * head_dim]
/// @param cache    holds the tokens of the queries already
/// @param y        [n_queries, n_heads * head_dim], overwritten; must not overlap q
/// @param run      who runs the pieces; the result does not depend on it
/// @param options  masks, scale, soft cap, sinks, rotary embedding
/// @param scratch  for partial sums over long contexts; one for each concurrent call
/// @throws qompose::shape_error if the shapes disagree
/// @throws qompose::argument_error if there are more queries than tokens in the cache, tokens that
///         a query sees have been dropped, or a table for rotary embedding lacks or is too short
/// @par Error
/// Keys of an integer format meet queries that are rounded to int8, one scale a row; the weights of
/// values of an integer format are rounded to 7 bits, one scale for each row and 64 tokens, see
/// kernels/attention_values-inl.hpp. Everything else is float arithmetic.
/// @par Cost  reads the cache once per 96 rows of (query, head of a group); no buffer of the size
///            of queries x tokens; no allocation in a call no larger than an earlier one
/// @par Source
/// Vaswani et al., NeurIPS 2017, arXiv:1706.03762; Ainslie et al. (GQA), arXiv:2305.13245; the
/// online softmax of Dao et al., NeurIPS 2022, arXiv:2205.14135; sums over parts of the keys as in
/// Flash-Decoding (Dao et al., 2023).
template <executor Executor = serial, class Isa = isa_tag, class Cache>
void attention(matrix_view<const float> q, const Cache& cache, matrix_view<float> y,
               const Executor& run, const attention_options& options, workspace& scratch) {
  const std::size_t dim = cache.head_dim();
  const std::size_t kv_width = cache.n_kv_heads() * dim;
  detail::require_attention_shapes("attention", q, y, dim, kv_width, cache.length(), options);
  if (q.rows() == 0) return;

  detail::cache_region regions[3];
  detail::attention_arguments a = cache.attention_arguments(regions);
  detail::set_call(a, q, y, kv_width, cache.length(), options);
  if (cache.size() < cache.length()) {
    detail::require_tokens(a, cache.oldest(), Cache::sinks);
  }
  if constexpr (Cache::is_before_rope) {
    detail::require_table(options.rope, dim, cache.length() - 1 - a.position_shift);
    detail::set_rotation(a, *options.rope, options.pairing);
  }
  a.key_data = &cache.key_data();
  a.value_data = &cache.value_data();
  detail::attention_kernel kernel;
  detail::with_best_target<Isa>([&]<class Target>() {
    using best =
        typename Target::template attention<typename Cache::key_side, typename Cache::value_side>;
    kernel = {&best::Run, &best::Merge};
  });
  detail::attend(kernel, a, q.rows(), cache.n_kv_heads(), cache.length(), run, scratch);
}

/// The same with a workspace of its own.
template <executor Executor = serial, class Isa = isa_tag, class Cache>
void attention(matrix_view<const float> q, const Cache& cache, matrix_view<float> y,
               const Executor& run = {}, const attention_options& options = {}) {
  workspace scratch;
  attention<Executor, Isa>(q, cache, y, run, options, scratch);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
