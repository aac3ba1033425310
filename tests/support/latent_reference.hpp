// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Attention over latents in double, with all keys and values rebuilt.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "qompose/nn/rope.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qompose_tests {

/// Numbers of a layer: c is [tokens, rank] as the cache stores it, u_k and u_v [rank, n_kv_heads *
/// head_dim], q [queries, n_heads * head_dim].
struct latent_inputs {
  std::size_t n_kv_heads, head_dim, group, rank, queries, tokens;
  matrix c = random_matrix(tokens, rank, 1);
  matrix u_k = factors(2);
  matrix u_v = factors(3);
  matrix q = random_matrix(queries, n_kv_heads* group* head_dim, 4);

  /// Such that keys and values are about as large as latents.
  [[nodiscard]] matrix factors(std::uint64_t seed) const {
    matrix u = random_matrix(rank, n_kv_heads * head_dim, seed);
    for (float& value : u.values()) value /= std::sqrt(static_cast<float>(rank));
    return u;
  }
};

/// What is asked for, as attention_options.
struct latent_options {
  bool is_causal = true;
  std::size_t window = 0;
  double scale = 0.0;
  double soft_cap = 0.0;
  std::vector<float> sinks;
  const matrix* bias = nullptr;
  const qompose::rope_table* rope = nullptr;
  qompose::rope_pairing pairing = qompose::rope_pairing::half;
};

/// A head of a token at a position, rotated.
inline std::vector<double> rotated_row(std::vector<double> x, std::size_t position,
                                       const latent_options& options) {
  if (options.rope == nullptr) return x;
  const std::size_t half = x.size() / 2;
  for (std::size_t i = 0; i < half; ++i) {
    const bool halves = options.pairing == qompose::rope_pairing::half;
    double& a = x[halves ? i : 2 * i];
    double& b = x[halves ? i + half : 2 * i + 1];
    const auto c = static_cast<double>(options.rope->cosines(position)[i]);
    const auto s = static_cast<double>(options.rope->sines(position)[i]);
    const double turned = a * c - b * s;
    b = b * c + a * s;
    a = turned;
  }
  return x;
}

/// [queries, n_heads * head_dim]
inline std::vector<double> expect_latent_attention(const latent_inputs& in,
                                                   const latent_options& options) {
  const std::size_t dim = in.head_dim;
  const auto product = [&](const matrix& u, std::size_t t, std::size_t head) {
    std::vector<double> out(dim);
    for (std::size_t k = 0; k < in.rank; ++k) {
      for (std::size_t d = 0; d < dim; ++d) {
        out[d] += static_cast<double>(in.c(t, k)) * static_cast<double>(u(k, head * dim + d));
      }
    }
    return out;
  };
  const double scale =
      options.scale != 0.0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(dim));
  std::vector<double> y(in.q.values().size());
  for (std::size_t head = 0; head < in.n_kv_heads; ++head) {
    std::vector<std::vector<double>> keys;
    std::vector<std::vector<double>> values;
    for (std::size_t t = 0; t < in.tokens; ++t) {
      keys.push_back(rotated_row(product(in.u_k, t, head), t, options));
      values.push_back(product(in.u_v, t, head));
    }
    for (std::size_t row = 0; row < in.queries * in.group; ++row) {
      const std::size_t i = row / in.group;
      const std::size_t query_head = head * in.group + row % in.group;
      const std::size_t position = in.tokens - in.queries + i;
      std::vector<double> q(dim);
      for (std::size_t d = 0; d < dim; ++d)
        q[d] = static_cast<double>(in.q(i, query_head * dim + d));
      q = rotated_row(q, position, options);
      constexpr double never = -std::numeric_limits<double>::infinity();
      const double sink =
          options.sinks.empty() ? never : static_cast<double>(options.sinks[query_head]);
      double peak = sink;
      std::vector<double> weights(in.tokens, never);
      for (std::size_t t = 0; t < in.tokens; ++t) {
        if (options.is_causal && t > position) continue;
        if (options.window > 0 && t + options.window <= position) continue;
        double score = 0.0;
        for (std::size_t d = 0; d < dim; ++d) score += q[d] * keys[t][d] * scale;
        if (options.soft_cap > 0.0) score = options.soft_cap * std::tanh(score / options.soft_cap);
        if (options.bias != nullptr) score += static_cast<double>((*options.bias)(i, t));
        weights[t] = score;
        peak = std::max(peak, score);
      }
      double total = std::isinf(sink) ? 0.0 : std::exp(sink - peak);
      for (double& weight : weights)
        total += weight = std::isinf(weight) ? 0.0 : std::exp(weight - peak);
      for (std::size_t t = 0; total > 0.0 && t < in.tokens; ++t) {
        for (std::size_t d = 0; d < dim; ++d) {
          y[i * in.q.cols() + query_head * dim + d] += weights[t] / total * values[t][d];
        }
      }
    }
  }
  return y;
}

/// Elements are sums of latents times weights times factors, all about 1 before they are summed:
/// errors of rounding add up to some units, of scores by way of exp, too.
inline void check_latent_attention(const std::vector<double>& wanted, const matrix& y,
                                   double units = 1.0) {
  REQUIRE(wanted.size() == y.values().size());
  double worst = 0.0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double error = std::abs(static_cast<double>(y.values()[i]) - wanted[i]);
    worst = std::isnan(error) ? 1e30 : std::max(worst, error);
  }
  CHECK(worst <= units * 0x1p-19);
}

}  // namespace qompose_tests
