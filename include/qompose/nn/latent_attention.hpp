// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Grouped-query attention over a cache of latents.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/workspace.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/kernels/latent_arguments.hpp"
#include "qompose/nn/attention.hpp"
#include "qompose/nn/latent_cache.hpp"

namespace qompose {

/// The factors U_k and U_v with which the latents of a layer become keys and values, laid out for
/// `latent_attention`; one for all sequences.
class latent_factors {
 public:
  QOMPOSE_INLINE latent_factors() noexcept = default;

  /// @param u_k         of keys before rotary embedding, [rank, n_kv_heads * head_dim], finite
  /// @param u_v         of values, the same shape
  /// @param n_kv_heads  KV heads, >= 1
  /// @throws qompose::shape_error if the shapes disagree, or a row is not a whole number of heads
  /// @throws qompose::argument_error if rank is not 1 .. max_latent_rank or head_dim not 1 ..
  ///         max_head_dim
  /// @throws qompose::value_error if a number is not finite
  QOMPOSE_INLINE latent_factors(matrix_view<const float> u_k, matrix_view<const float> u_v,
                                std::size_t n_kv_heads)
      : n_kv_heads_(n_kv_heads) {
    if (u_v.rows() != u_k.rows() || u_v.cols() != u_k.cols()) {
      throw_shape_error("latent_factors: u_v", u_v.rows(), u_v.cols(), u_k.rows(), u_k.cols());
    }
    if (n_kv_heads == 0 || u_k.cols() % n_kv_heads != 0) {
      throw shape_error("latent_factors: " + std::to_string(u_k.cols()) +
                        " columns, expected a multiple of " + std::to_string(n_kv_heads) +
                        " heads, at least one");
    }
    sizes_ = {u_k.rows(), u_k.cols() / n_kv_heads};
    if (sizes_.rank == 0 || sizes_.rank > max_latent_rank || sizes_.head_dim == 0 ||
        sizes_.head_dim > max_head_dim) {
      throw argument_error("latent_factors: a rank of " + std::to_string(sizes_.rank) +
                           " and heads of " + std::to_string(sizes_.head_dim) + ", expected 1.." +
                           std::to_string(max_latent_rank) + " and 1.." +
                           std::to_string(max_head_dim));
    }
    require_finite("u_k", u_k);
    require_finite("u_v", u_v);
    keys_ = aligned_buffer<float>(n_kv_heads * sizes_.key_factors());
    values_ = aligned_buffer<float>(n_kv_heads * sizes_.value_factors());
    for (std::size_t h = 0; h < n_kv_heads; ++h) {
      float* keys = keys_.data() + h * sizes_.key_factors();
      float* values = values_.data() + h * sizes_.value_factors();
      for (std::size_t k = 0; k < sizes_.rank; ++k) {
        for (std::size_t d = 0; d < sizes_.head_dim; ++d) {
          keys[d * sizes_.rank_stride() + k] = u_k(k, h * sizes_.head_dim + d);
          values[(d / panel_rows * sizes_.padded_rank() + k) * panel_rows + d % panel_rows] =
              u_v(k, h * sizes_.head_dim + d);
        }
      }
    }
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t rank() const noexcept { return sizes_.rank; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t head_dim() const noexcept { return sizes_.head_dim; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t n_kv_heads() const noexcept { return n_kv_heads_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return (keys_.size() + values_.size()) * sizeof(float);
  }

  /// For the kernels.
  [[nodiscard]] QOMPOSE_INLINE const detail::latent_sizes& sizes() const noexcept { return sizes_; }
  [[nodiscard]] QOMPOSE_INLINE const float* keys() const noexcept { return keys_.data(); }
  [[nodiscard]] QOMPOSE_INLINE const float* values() const noexcept { return values_.data(); }

 private:
  QOMPOSE_INLINE static void require_finite(const char* name, matrix_view<const float> u) {
    for (std::size_t r = 0; r < u.rows(); ++r) {
      for (std::size_t c = 0; c < u.cols(); ++c) {
        // False for NaN, too.
        if (std::abs(u(r, c)) <= fp32::max_finite) continue;
        throw value_error("latent_factors: " + std::string(name) + " (" + std::to_string(r) + ", " +
                          std::to_string(c) + ") is not finite");
      }
    }
  }

  std::size_t n_kv_heads_ = 0;
  detail::latent_sizes sizes_;
  aligned_buffer<float> keys_;
  aligned_buffer<float> values_;
};

namespace detail {

/// How attention over latents is cut into pieces: by shape alone, so that results are the same for
/// any number of threads.
struct latent_pieces {
  /// Pieces that keep threads busy; each has memory of its own.
  static constexpr std::size_t plenty = 32;
  /// KV heads that share a decoded tile where each rebuilds its keys: decoding is then a small part
  /// of the work, and more pieces are worth more.
  static constexpr std::size_t most_rotated_heads = 4;
  /// The fewest tokens that are worth a piece.
  static constexpr std::size_t least_tokens = 256;

  std::size_t n_kv_heads = 0;
  std::size_t rows = 0;          ///< of a KV head
  std::size_t heads = 1;         ///< of a block
  std::size_t row_blocks = 1;    ///< of a KV head
  std::size_t blocks = 0;        ///< of all heads and rows
  std::size_t splits = 1;        ///< of tokens
  std::size_t split_tokens = 0;  ///< of a split

  QOMPOSE_INLINE latent_pieces(std::size_t n_rows, std::size_t n_heads, bool rotates,
                               std::size_t tokens) noexcept
      : n_kv_heads(n_heads), rows(n_rows), row_blocks(divide_up(n_rows, attention_rows)) {
    heads = std::clamp<std::size_t>(attention_rows / rows, 1, n_heads);
    if (rotates) heads = std::min(heads, most_rotated_heads);
    blocks = divide_up(n_heads, heads) * row_blocks;
    if (blocks < plenty)
      splits = std::clamp<std::size_t>(tokens / least_tokens, 1, divide_up(plenty, blocks));
    split_tokens = round_up(divide_up(tokens, splits), latent_tile);
    splits = divide_up(tokens, split_tokens);
  }
  /// The last rows see the most tokens: they come first.
  [[nodiscard]] QOMPOSE_INLINE latent_block block(std::size_t i) const noexcept {
    const std::size_t groups = blocks / row_blocks;
    const std::size_t head = i % groups * heads;
    const std::size_t row = (row_blocks - 1 - i / groups) * attention_rows;
    return {head, std::min(heads, n_kv_heads - head), row, std::min(attention_rows, rows - row)};
  }
};

}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Y = softmax(Q K^T scale) V with K = rope(C U_k) and V = C U_v for the newest tokens of a cache
/// of latents C, whose keys and values are never all in memory.
///
/// Keys are rebuilt for 64 tokens at a time. Values are not: weights meet latents, and their sums,
/// once for all tokens, U_v. Query head h reads KV head h / (n_heads / n_kv_heads); positions and
/// masks are those of `attention`. Without a table in the options there is no rotary embedding, and
/// keys are not rebuilt either: queries meet U_k once and then the latents.
///
/// @tparam Cache   a `latent_cache<...>`
/// @param q        queries before rotary embedding, finite, [n_queries, n_heads * head_dim]
/// @param cache    holds the tokens of the queries already
/// @param factors  of the layer, of the cache's rank
/// @param y        [n_queries, n_heads * head_dim], overwritten; must not overlap q
/// @param run      who runs the pieces; the result does not depend on it
/// @param options  as those of `attention`
/// @param scratch  for sums of weights and latents; one for each concurrent call
/// @throws qompose::shape_error if the shapes disagree
/// @throws qompose::argument_error if there are more queries than tokens in the cache, or the table
///         for rotary embedding is too short or of other heads
/// @par Error
/// That of float arithmetic over latents as they are stored; queries and weights are not rounded.
/// @par Cost
/// Multiply-adds for each query head and token that it sees: rank for the value and head_dim for
/// the score, beside rank * head_dim for the key, which up to 96 rows of (query, head of a group)
/// of one KV head share. Without rotary embedding 2 rank and no key. For each query and head
/// 2 rank * head_dim at most. Reads latents once for all heads of a piece: 4 KV heads with rotary
/// embedding, as many as have 96 rows without. The workspace has up to 64 parts of about (2 rows of
/// a piece + 64) * rank floats; no allocation in a call no larger than an earlier one.
/// @par Source
/// QSVD, NeurIPS 2025, which rebuilds keys and values; absorbing U_v as in DeepSeek-V2, 2024,
/// arXiv:2405.04434, section 2.1.2; the online softmax as in `attention`.
template <executor Executor = serial, class Isa = isa_tag, class Cache>
void latent_attention(matrix_view<const float> q, const Cache& cache, const latent_factors& factors,
                      matrix_view<float> y, const Executor& run, const attention_options& options,
                      workspace& scratch) {
  const std::size_t dim = factors.head_dim();
  const std::size_t kv_width = factors.n_kv_heads() * dim;
  if (factors.rank() != cache.rank() || kv_width == 0) {
    throw shape_error("latent_attention: factors of rank " + std::to_string(factors.rank()) +
                      ", expected " + std::to_string(cache.rank()));
  }
  detail::require_attention_shapes("latent_attention", q, y, dim, kv_width, cache.length(),
                                   options);
  if (options.rope != nullptr &&
      (options.rope->head_dim() != dim || options.rope->seq_len() < cache.length())) {
    throw argument_error("latent_attention: options.rope has no table for heads of " +
                         std::to_string(dim) + " up to position " +
                         std::to_string(cache.length() - 1));
  }
  if (q.rows() == 0) return;

  detail::latent_arguments a;
  a.sizes = factors.sizes();
  a.latents = cache.region();
  a.key_factors = factors.keys();
  a.value_factors = factors.values();
  a.key_entries = cache.entries();
  a.head_dim = dim;
  detail::set_call(a, q, y, kv_width, cache.length(), options);
  if (options.rope != nullptr) {
    a.rotates = true;
    detail::set_rotation(a, *options.rope, options.pairing);
  }

  const std::size_t seen = a.first + 1;
  // Tiles begin where panels do, and no two splits may see a token.
  const std::size_t begin =
      a.window > 0 && seen > a.window ? (seen - a.window) / panel_rows * panel_rows : 0;
  const detail::latent_pieces pieces(q.rows() * a.group, factors.n_kv_heads(), a.rotates,
                                     cache.length() - begin);
  const std::size_t parts = pieces.splits > 1
                                ? pieces.blocks * pieces.splits
                                : std::min(pieces.blocks, detail::latent_pieces::plenty);
  detail::latent_block largest = pieces.block(0);
  largest.rows = std::min(pieces.rows, detail::attention_rows);
  const std::size_t stride = detail::latent_memory(a, largest, nullptr).floats;
  auto* memory = reinterpret_cast<float*>(scratch.reserve(parts * stride * sizeof(float)));

  using codes = typename Cache::codes;
  const auto run_pieces = [&]<class Kernel>() {
    if (pieces.splits <= 1) {
      run.for_each(parts, [&](std::size_t part) {
        for (std::size_t i = part; i < pieces.blocks; i += parts) {
          const detail::latent_block block = pieces.block(i);
          Kernel::template Run<codes>(a, block, begin, cache.length(), true,
                                      memory + part * stride);
          Kernel::Finish(a, block, memory + part * stride);
        }
      });
      return;
    }
    run.for_each(parts, [&](std::size_t part) {
      const std::size_t split = part % pieces.splits;
      const std::size_t from = begin + split * pieces.split_tokens;
      Kernel::template Run<codes>(a, pieces.block(part / pieces.splits), from,
                                  std::min(from + pieces.split_tokens, cache.length()), split == 0,
                                  memory + part * stride);
    });
    run.for_each(pieces.blocks, [&](std::size_t i) {
      const detail::latent_block block = pieces.block(i);
      float* first = memory + i * pieces.splits * stride;
      Kernel::Merge(a, block, first, stride, pieces.splits);
      Kernel::Finish(a, block, first);
    });
  };
  detail::with_best_target<Isa>([&]<class Target>() {
    if (a.rotates) {
      run_pieces.template operator()<typename Target::template latent_attention<true>>();
    } else {
      run_pieces.template operator()<typename Target::template latent_attention<false>>();
    }
  });
}

/// The same with a workspace of its own.
template <executor Executor = serial, class Isa = isa_tag, class Cache>
void latent_attention(matrix_view<const float> q, const Cache& cache, const latent_factors& factors,
                      matrix_view<float> y, const Executor& run = {},
                      const attention_options& options = {}) {
  workspace scratch;
  latent_attention<Executor, Isa>(q, cache, factors, y, run, options, scratch);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
