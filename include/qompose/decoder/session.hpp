// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What one sequence needs while it is decoded: caches and activations.

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/workspace.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/nn/block_pool.hpp"
#include "qompose/nn/kv_cache.hpp"
#include "qompose/nn/rope.hpp"

namespace qompose {

/// The caches of all layers of one sequence, empty. Those of local layers hold no more than their
/// windows ask for.
/// @param context    tokens of the sequence
/// @param max_batch  tokens that are appended together
/// @param pool       for caches in pages: blocks of `Cache::block_bytes(config.head_dim)`, shared
/// by
///                   all layers; null for a pool of its own that lasts for the context
/// @throws qompose::argument_error if the pool's blocks have another size
template <class Cache>
[[nodiscard]] QOMPOSE_INLINE std::vector<Cache> layer_caches(
    const decoder_config& config, std::size_t context, std::size_t max_batch,
    std::shared_ptr<block_pool> pool = nullptr) {
  const auto window = [&](std::size_t layer) {
    return config.windows.empty() ? std::size_t{0} : config.windows[layer];
  };
  const auto capacity = [&](std::size_t layer) {
    return Cache::capacity_for(context, max_batch, window(layer));
  };
  std::vector<Cache> caches;
  caches.reserve(config.n_layers);
  if constexpr (Cache::is_paged) {
    if (pool == nullptr) {
      std::size_t blocks = 0;
      for (std::size_t i = 0; i < config.n_layers; ++i) {
        blocks += divide_up(capacity(i), Cache::block_tokens) + 1;
      }
      pool = std::make_shared<block_pool>(config.n_kv_heads * blocks,
                                          Cache::block_bytes(config.head_dim));
    }
  }
  for (std::size_t i = 0; i < config.n_layers; ++i) {
    cache_data data;
    // A cache with room for the whole context never drops a token.
    data.window = capacity(i) < context ? window(i) : 0;
    if constexpr (Cache::is_paged) {
      caches.emplace_back(pool, config.n_kv_heads, config.head_dim, data);
    } else {
      caches.emplace_back(config.n_kv_heads, config.head_dim, capacity(i), data);
    }
  }
  return caches;
}

/// The state of one sequence: a cache per layer, rotary tables, and room for the activations of
/// one batch of tokens. Made by `decoder::start`; used by one thread at a time.
template <class Cache>
class session {
 public:
  /// @param config     the model's sizes
  /// @param context    tokens the caches hold
  /// @param max_batch  tokens that pass the model together
  /// @param pool       see `layer_caches`
  /// @throws qompose::argument_error if the pool's blocks have another size
  QOMPOSE_INLINE session(const decoder_config& config, std::size_t context, std::size_t max_batch,
                         std::shared_ptr<block_pool> pool = nullptr)
      : session(config, context, max_batch,
                layer_caches<Cache>(config, context, max_batch, std::move(pool))) {}

  /// The same with caches that are there already.
  /// @param layers  one a layer, empty, each with room for the context
  /// @throws qompose::argument_error if their number is wrong
  QOMPOSE_INLINE session(const decoder_config& config, std::size_t context, std::size_t max_batch,
                         std::vector<Cache> layers)
      : caches(std::move(layers)),
        rope(config.head_dim, context, config.rope_theta, config.scaling),
        x(max_batch * config.dim),
        normed(max_batch * config.dim),
        qkv(max_batch * (config.n_heads + 2 * config.n_kv_heads) * config.head_dim),
        attended(max_batch * config.n_heads * config.head_dim),
        gate_up(max_batch * 2 * config.hidden_dim),
        hidden(max_batch * config.hidden_dim),
        context_(context),
        max_batch_(max_batch) {
    if (caches.size() != config.n_layers) {
      throw argument_error("session: " + std::to_string(caches.size()) + " caches, the model has " +
                           std::to_string(config.n_layers) + " layers");
    }
  }

  /// Tokens seen so far.
  [[nodiscard]] QOMPOSE_INLINE std::size_t length() const noexcept { return length_; }
  /// Tokens the caches hold.
  [[nodiscard]] QOMPOSE_INLINE std::size_t context() const noexcept { return context_; }
  /// Tokens that pass the model together.
  [[nodiscard]] QOMPOSE_INLINE std::size_t max_batch() const noexcept { return max_batch_; }
  /// Bytes of the caches of all layers: for the whole context, or of the pages that are held.
  [[nodiscard]] QOMPOSE_INLINE std::size_t cache_bytes() const noexcept {
    std::size_t sum = 0;
    for (const Cache& cache : caches) sum += cache.storage_bytes();
    return sum;
  }

  /// Forgets all tokens from position `length` on.
  /// @throws qompose::argument_error if fewer were seen, or a cache has dropped what is needed
  QOMPOSE_INLINE void truncate(std::size_t length) {
    for (Cache& cache : caches) cache.truncate(length);
    length_ = length;
  }

  /// Drops what some layers have appended and others have not; for the decoder.
  QOMPOSE_INLINE void roll_back() {
    for (Cache& cache : caches) {
      if (cache.length() > length_) cache.truncate(length_);
    }
  }
  /// Counts tokens that every layer has appended; for the decoder.
  QOMPOSE_INLINE void advance(std::size_t n_tokens) noexcept { length_ += n_tokens; }

  std::vector<Cache> caches;       ///< one a layer
  rope_table rope;                 ///< positions 0 .. context - 1
  aligned_buffer<float> x;         ///< [max_batch, dim], the residual stream
  aligned_buffer<float> normed;    ///< [max_batch, dim]
  aligned_buffer<float> qkv;       ///< [max_batch, (n_heads + 2 n_kv_heads) head_dim]
  aligned_buffer<float> attended;  ///< [max_batch, n_heads head_dim]
  aligned_buffer<float> gate_up;   ///< [max_batch, 2 hidden_dim]
  aligned_buffer<float> hidden;    ///< [max_batch, hidden_dim]
  aligned_buffer<float> logits;    ///< [1 or max_batch, vocab_size], as large as asked for
  workspace scratch;               ///< of the linear layers and of attention

 private:
  std::size_t context_;
  std::size_t max_batch_;
  std::size_t length_ = 0;
};

}  // namespace qompose
