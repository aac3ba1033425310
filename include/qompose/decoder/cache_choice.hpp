// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The caches of a model's layers, chosen when the program runs.

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/session.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/nn/any_cache.hpp"
#include "qompose/nn/block_pool.hpp"
#include "qompose/nn/describe_cache.hpp"
#include "qompose/nn/kv_cache.hpp"

namespace qompose {

/// One composition of caches among others of which a program chooses. Made by `choose_cache`.
struct cache_choice {
  /// As `describe_cache` says it.
  std::string composition;
  /// Bytes that one more token takes in one layer, given KV heads and their size.
  double (*bytes_per_token)(std::size_t n_kv_heads, std::size_t head_dim);
  /// Bytes of the blocks of a pool for it, given the size of heads; 0 unless it lies in pages.
  std::size_t (*block_bytes)(std::size_t head_dim);
  /// See `layer_caches`.
  std::vector<any_cache> (*make)(const decoder_config& config, std::size_t context,
                                 std::size_t max_batch, std::shared_ptr<block_pool> pool);
};

namespace detail {
inline namespace QOMPOSE_ISA {

template <class Cache, class Isa>
std::vector<any_cache> any_layer_caches(const decoder_config& config, std::size_t context,
                                        std::size_t max_batch, std::shared_ptr<block_pool> pool) {
  std::vector<any_cache> caches;
  caches.reserve(config.n_layers);
  for (Cache& cache : layer_caches<Cache>(config, context, max_batch, std::move(pool))) {
    caches.emplace_back(any_cache::of<Isa>(std::move(cache)));
  }
  return caches;
}

template <class Cache>
std::size_t pool_block_bytes(std::size_t head_dim) {
  return Cache::is_paged ? Cache::block_bytes(head_dim) : 0;
}
template <class Cache>
double cache_bytes_per_token(std::size_t n_kv_heads, std::size_t head_dim) {
  return Cache::bytes_per_token(n_kv_heads, head_dim);
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// A choice of caches; to be called in a file of its own where there are many, as its kernels take
/// seconds to compile.
///
///     const qp::cache_choice int8 = qp::choose_cache<qp::kv_cache<qp::keys<qp::a8_token>,
///                                                                 qp::values<qp::a8_token>>>();
///     auto state = model.start(int8, 4096);
template <class Cache, class Isa = isa_tag>
[[nodiscard]] cache_choice choose_cache() {
  return {describe_cache<Cache>(), &detail::cache_bytes_per_token<Cache>,
          &detail::pool_block_bytes<Cache>, &detail::any_layer_caches<Cache, Isa>};
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
