// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Random sequences in pages beside the same sequences in memory of their own.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/nn/kv_cache.hpp"
#include "support/cache_tokens.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qompose_tests {

namespace qp = qompose;

inline constexpr std::size_t n_kv_heads = 2;
inline constexpr std::size_t head_dim = 32;
inline constexpr std::size_t width = n_kv_heads * head_dim;

/// A sequence in pages beside the same sequence in memory of its own.
template <class Paged, class Plain>
struct twin {
  Paged paged;
  Plain plain;
};

template <class Twin>
void check_same(const Twin& twin) {
  CHECK(twin.paged.length() == twin.plain.length());
  const bool is_same = tokens_in(twin.paged) == tokens_in(twin.plain);
  CHECK(is_same);
}

/// Random appends, forks, truncations and ends of sequences that share a pool.
template <class Paged, class Plain>
void run_sequences(std::uint64_t seed, std::size_t n_blocks) {
  using pair = twin<Paged, Plain>;
  qp::random_source random(seed);
  const auto below = [&](std::size_t n) {
    return static_cast<std::size_t>(random.uniform() * static_cast<double>(n));
  };
  const auto pool = std::make_shared<qp::block_pool>(n_blocks, Paged::block_bytes(head_dim));
  constexpr std::size_t most = 400;
  {
    std::vector<pair> sequences;
    std::size_t refused = 0;
    for (int step = 0; step < 250; ++step) {
      const std::size_t action = below(10);
      if (sequences.empty() || (action == 0 && sequences.size() < 12)) {
        sequences.push_back({Paged(pool, n_kv_heads, head_dim), Plain(n_kv_heads, head_dim, most)});
        continue;
      }
      const std::size_t at = below(sequences.size());
      if (action == 1 && sequences.size() < 12) {
        pair fork = sequences[at];
        check_same(fork);
        sequences.push_back(std::move(fork));
      } else if (action == 2) {
        sequences.erase(sequences.begin() + static_cast<std::ptrdiff_t>(at));
        continue;
      } else if (action == 3) {
        const std::size_t length = below(sequences[at].plain.length() + 1);
        sequences[at].paged.truncate(length);
        sequences[at].plain.truncate(length);
      } else {
        const std::size_t n = 1 + below(40);
        if (sequences[at].plain.length() + n > most) continue;
        const matrix k = random_matrix(n, width, seed * 1000 + static_cast<std::uint64_t>(step));
        const matrix v = random_matrix(n, width, seed * 2000 + static_cast<std::uint64_t>(step));
        const std::size_t free_before = pool->free_blocks();
        try {
          sequences[at].paged.append(k.view(), v.view());
          sequences[at].plain.append(k.view(), v.view());
        } catch (const qp::out_of_blocks&) {
          // Nothing is lost: the sequence is as it was.
          ++refused;
          CHECK(pool->free_blocks() == free_before);
          check_same(sequences[at]);
          sequences.erase(sequences.begin());
          continue;
        }
      }
      for (const pair& sequence : sequences) check_same(sequence);
    }
    CHECK(refused > 0);
  }
  CHECK(pool->free_blocks() == pool->n_blocks());
}

}  // namespace qompose_tests
