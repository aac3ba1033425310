// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Seeded weights and activations that repeat, so that all results can be checked cheaply.

#include <algorithm>
#include <cstddef>
#include <vector>

#include "qompose/core/random.hpp"

namespace qompose_bench {

/// Rows are made in blocks, as `compress` quantizes so many at a time, and repeat after three:
/// a number that no tile or piece is a multiple of.
inline constexpr std::size_t block_rows = 64;
inline constexpr std::size_t distinct_blocks = 3;
/// Tokens repeat after seven, for the same reason.
inline constexpr std::size_t distinct_tokens = 7;

/// Normal numbers, [rows, cols].
inline std::vector<float> normal_rows(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  std::vector<float> values(rows * cols);
  qompose::random_source random(seed);
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

/// Weights, [min(out, 192), in].
inline std::vector<float> distinct_weights(std::size_t out, std::size_t in) {
  return normal_rows(std::min(out, block_rows * distinct_blocks), in, 1);
}

/// Tokens, [n, in].
inline std::vector<float> repeated_tokens(std::size_t n, std::size_t in) {
  std::vector<float> values = normal_rows(std::min(n, distinct_tokens), in, 2);
  values.resize(n * in);
  for (std::size_t t = distinct_tokens; t < n; ++t) {
    std::copy_n(values.data() + (t - distinct_tokens) * in, in, values.data() + t * in);
  }
  return values;
}

}  // namespace qompose_bench
