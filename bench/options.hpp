// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What the command line says about rows.

#include <cstddef>
#include <vector>

namespace qompose_bench {

/// A layer's weights, [out_features, in_features].
struct shape {
  std::size_t out = 0;
  std::size_t in = 0;
};

/// Causal attention: the queries are the newest of the tokens.
struct attention_shape {
  std::size_t queries = 0;
  std::size_t tokens = 0;
};

/// What the command line says.
struct row_options {
  std::vector<shape> shapes{{4096, 4096}, {14336, 4096}};
  std::vector<std::size_t> tokens{1, 8, 32, 128, 512};
  std::vector<attention_shape> attention{{1, 1024}, {1, 8192}, {8, 8192}, {512, 1024}, {512, 8192}};
  std::vector<std::size_t> threads{1};
  double seconds = 0.3;  ///< of timing a row, at least
};

/// Whether so little time is asked for that only the answers matter.
inline bool is_check_only(double least_seconds) { return least_seconds < 0.05; }

}  // namespace qompose_bench
