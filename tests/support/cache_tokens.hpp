// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief All that a cache holds, read back.

#include <cstddef>
#include <vector>

#include "qompose/nn/kv_cache.hpp"

namespace qompose_tests {

template <class Cache>
std::vector<float> tokens_in(const Cache& cache) {
  std::vector<float> all;
  std::vector<float> row(cache.head_dim());
  for (std::size_t h = 0; h < cache.n_kv_heads(); ++h) {
    for (std::size_t t = 0; t < cache.length(); ++t) {
      if (!cache.holds(t)) continue;
      cache.load_key(h, t, row);
      all.insert(all.end(), row.begin(), row.end());
      cache.load_value(h, t, row);
      all.insert(all.end(), row.begin(), row.end());
    }
  }
  return all;
}

}  // namespace qompose_tests
