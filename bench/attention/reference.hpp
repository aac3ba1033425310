// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Attention in double over what a cache holds, for a few heads of a few queries.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "attention/work.hpp"

namespace qompose_bench {

/// One head of one query, [head_dim], and how far each element may be off.
struct expected_head {
  std::vector<double> y;
  std::vector<double> bound;
};

/// The formula for one head of one query, over the first `visible` tokens.
///
/// @par Bound
/// Floats, the worst case: a score errs by a product and a sum each term, and exp turns that into a
/// relative error; a weight, the sum of the weights and the weighted sum of values round once each
/// token or so, the exponential errs by some units, the division and the running peak by a few.
///
/// What a kernel rounds further, six standard deviations: errors are independent and uniform, so
/// with largest error e one has the variance e^2 / 3. An element of the query that errs by e errs
/// the score of token t by e |k_t| / sqrt(head_dim) and so its weight by as much, relatively; what
/// errs a weight moves the result by (v_t - y) of it. A running sum of independent values has grown
/// to the square root of the sum of their squares at the end, and was smaller before. The worst
/// case of these is tens of times as large as what happens, and would pass a result of zeros.
inline expected_head expect_head(const float* q, const stored_head& stored, std::size_t visible,
                                 const roundings& rounded) {
  const double factor = 1.0 / std::sqrt(static_cast<double>(head_dim));
  double query_peak = 0.0;
  for (std::size_t d = 0; d < head_dim; ++d) {
    query_peak = std::max(query_peak, std::abs(static_cast<double>(q[d])));
  }
  std::vector<double> weights(visible);
  std::vector<double> key_squares(visible);
  double magnitude = 0.0;
  double peak = -std::numeric_limits<double>::infinity();
  for (std::size_t t = 0; t < visible; ++t) {
    double size = 0.0;
    for (std::size_t d = 0; d < head_dim; ++d) {
      const auto key = static_cast<double>(stored.keys[t * head_dim + d]);
      const double product = static_cast<double>(q[d]) * key * factor;
      weights[t] += product;
      size += std::abs(product);
      key_squares[t] += key * key;
    }
    magnitude = std::fmax(magnitude, size);
    peak = std::fmax(peak, weights[t]);
  }
  double total = 0.0;
  for (double& weight : weights) total += weight = std::exp(weight - peak);
  for (double& weight : weights) weight /= total;

  const double terms = 2.0 * static_cast<double>(head_dim) + 4.0;
  const double floats =
      2.0 * terms * 0x1p-24 * magnitude + (3.0 * static_cast<double>(visible) + 32.0) * 0x1p-24;
  const double of_score = rounded.queries * query_peak * factor;
  const double of_weight = rounded.weights / total;  // the largest weight is 1 / total
  const double of_sum = rounded.sums * rounded.sums * static_cast<double>(visible);
  expected_head expected;
  for (std::size_t d = 0; d < head_dim; ++d) {
    double sum = 0.0;
    double size = 0.0;
    for (std::size_t t = 0; t < visible; ++t) {
      const double part = weights[t] * static_cast<double>(stored.values[t * head_dim + d]);
      sum += part;
      size += std::abs(part);
    }
    double variance = 0.0;
    for (std::size_t t = 0; t < visible; ++t) {
      const auto value = static_cast<double>(stored.values[t * head_dim + d]);
      const double error_squares =
          of_score * of_score * key_squares[t] * weights[t] * weights[t] + of_weight * of_weight;
      variance += error_squares / 3.0 * (value - sum) * (value - sum);
      variance += of_sum / 3.0 * weights[t] * weights[t] * value * value;
    }
    expected.y.push_back(sum);
    expected.bound.push_back(floats * size + 6.0 * std::sqrt(variance));
  }
  return expected;
}

/// What is wrong with the results of `run`, or nothing: all of them must lie among the values, and
/// one head of each group must be what the formula gives, for queries spread from first to last.
inline std::string fault_of(const attention_work& work, qp::matrix_view<const float> q,
                            std::size_t tokens) {
  const qp::matrix_view<const float> y = work.results();
  const auto fault = [&](std::size_t i, std::size_t c, const std::string& wanted) {
    return "result [" + std::to_string(i) + ", " + std::to_string(c) + "] is " +
           std::to_string(y(i, c)) + ", expected " + wanted;
  };
  for (std::size_t h = 0; h < n_kv_heads; ++h) {
    const stored_head stored = work.stored(h);
    float largest = 0.0f;
    for (const float value : stored.values) largest = std::max(largest, std::abs(value));
    for (std::size_t i = 0; i < y.rows(); ++i) {
      for (std::size_t c = 0; c < head_group * head_dim; ++c) {
        const std::size_t col = h * head_group * head_dim + c;
        // Written so that it holds for no NaN; with room for what a kernel rounds.
        if (std::abs(y(i, col)) <= 1.1f * largest) continue;
        return fault(i, col, "at most " + std::to_string(largest));
      }
    }
    const std::size_t query = h * (q.rows() - 1) / (n_kv_heads - 1);
    const std::size_t first = (h * head_group + h % head_group) * head_dim;
    const std::size_t visible = tokens - q.rows() + query + 1;
    const expected_head expected =
        expect_head(q.row(query) + first, stored, visible, work.rounded());
    for (std::size_t d = 0; d < head_dim; ++d) {
      const double error = std::abs(static_cast<double>(y(query, first + d)) - expected.y[d]);
      if (error <= expected.bound[d]) continue;
      return fault(query, first + d,
                   std::to_string(expected.y[d]) + " +- " + std::to_string(expected.bound[d]));
    }
  }
  return {};
}

}  // namespace qompose_bench
