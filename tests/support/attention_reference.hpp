// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a cache makes of keys and values, by way of quantized matrices, and attention in
///        double over that, with a bound for each element.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

#include "qompose/nn/attention.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qompose_tests {

/// Rows as a spec stores them, each a matrix of its own.
template <class Spec>
matrix stored_rows(const matrix& x) {
  matrix out(x.rows(), x.cols());
  for (std::size_t t = 0; t < x.rows(); ++t) {
    const qompose::matrix_view<const float> row = x.view().rows(t, 1);
    if constexpr (qompose::number_format<Spec>) {
      for (std::size_t d = 0; d < x.cols(); ++d) out(t, d) = Spec::decode(Spec::encode(row(0, d)));
    } else {
      qompose::dequantize(qompose::quantize<Spec>(row), out.view().rows(t, 1));
    }
  }
  return out;
}

inline matrix transposed(const matrix& x) {
  matrix out(x.cols(), x.rows());
  for (std::size_t r = 0; r < x.rows(); ++r) {
    for (std::size_t c = 0; c < x.cols(); ++c) out(c, r) = x(r, c);
  }
  return out;
}

/// The columns of one head.
inline matrix head_of(const matrix& x, std::size_t head, std::size_t head_dim) {
  matrix out(x.rows(), head_dim);
  for (std::size_t t = 0; t < x.rows(); ++t) {
    for (std::size_t d = 0; d < head_dim; ++d) out(t, d) = x(t, head * head_dim + d);
  }
  return out;
}

/// Some tokens of a matrix.
inline matrix tokens_of(const matrix& x, std::size_t first, std::size_t count) {
  matrix out(count, x.cols());
  for (std::size_t t = 0; t < count; ++t) {
    for (std::size_t d = 0; d < x.cols(); ++d) out(t, d) = x(first + t, d);
  }
  return out;
}

/// What one side of a cache makes of the tokens of a head.
/// @param first    tokens that stay exact
/// @param waiting  newest tokens that are not quantized yet
template <class Side>
matrix stored_side(const matrix& x, std::size_t first, std::size_t waiting, std::size_t block,
                   const typename Side::transform::data& data) {
  using spec = typename Side::spec;
  matrix folded = x;
  for (std::size_t t = 0; t < x.rows(); ++t) {
    Side::transform::fold(data, folded.view().row(t), x.cols());
  }
  matrix out = stored_rows<typename Side::exact>(folded);
  const std::size_t end = x.rows() - std::min(x.rows(), waiting);
  if constexpr (std::is_same_v<spec, typename Side::exact>) return out;
  // What waited is quantized from what it waited as.
  const auto replace = [&](std::size_t t, const matrix& rows) {
    for (std::size_t i = 0; i < rows.rows(); ++i) {
      for (std::size_t d = 0; d < x.cols(); ++d) out(t + i, d) = rows(i, d);
    }
  };
  if constexpr (qompose::detail::cache_codes<spec>::is_per_channel) {
    for (std::size_t t = first; t + block <= end; t += block) {
      replace(t, transposed(stored_rows<spec>(transposed(tokens_of(out, t, block)))));
    }
  } else if (end > first) {
    const matrix& from = waiting > 0 ? out : folded;
    replace(first, stored_rows<spec>(tokens_of(from, first, end - first)));
  }
  return out;
}

/// What attention is asked for.
struct reference_options {
  bool is_causal = true;
  std::size_t window = 0;
  std::size_t sinks = 0;  ///< tokens that every query sees
  double scale = 0.0;
  double soft_cap = 0.0;
  std::vector<double> sink_logits;
  const matrix* bias = nullptr;
};

/// y, and how far from it a result may be.
struct expected_attention {
  std::vector<double> y;
  std::vector<double> bound;
};

/// Attention of one head over keys and values that are known as they are.
///
/// @param rounds_queries  whether queries are rounded to int8
/// @param rounds_weights  whether weights are rounded to 127 steps
inline void add_expected(const matrix& q, std::size_t column, const matrix& keys,
                         const matrix& values, const reference_options& options, double sink_logit,
                         bool rounds_queries, bool rounds_weights, expected_attention& out) {
  const std::size_t head_dim = keys.cols();
  const std::size_t first = keys.rows() - q.rows();
  const double factor =
      options.scale != 0.0 ? options.scale : 1.0 / std::sqrt(static_cast<double>(head_dim));
  for (std::size_t i = 0; i < q.rows(); ++i) {
    const std::size_t position = first + i;
    double query_peak = 0.0;
    for (std::size_t d = 0; d < head_dim; ++d) {
      query_peak = std::max(query_peak, std::abs(static_cast<double>(q(i, column + d))));
    }
    std::vector<double> scores(keys.rows(), -std::numeric_limits<double>::infinity());
    std::size_t seen = 0;
    double error = 0.0;
    double peak = sink_logit;
    for (std::size_t t = 0; t < keys.rows(); ++t) {
      if (options.is_causal && t > position) continue;
      if (options.window > 0 && t + options.window <= position && t >= options.sinks) continue;
      double score = 0.0;
      double size = 0.0;
      double key_size = 0.0;
      for (std::size_t d = 0; d < head_dim; ++d) {
        const double key = static_cast<double>(keys(t, d));
        const double product = static_cast<double>(q(i, column + d)) * key * factor;
        score += product;
        size += std::abs(product);
        key_size += std::abs(key * factor);
      }
      if (options.soft_cap > 0.0) score = options.soft_cap * std::tanh(score / options.soft_cap);
      if (options.bias != nullptr) score += static_cast<double>((*options.bias)(i, t));
      scores[t] = score;
      // A score errs by a product and a sum each term, scales and the cap by a few more; a query
      // that is rounded by half a step each element.
      const double terms = 2.0 * static_cast<double>(head_dim) + 24.0;
      const double rounding = terms * 0x1p-24 * (size + std::abs(score));
      const double codes = rounds_queries ? 0.501 * query_peak / 127.0 * key_size : 0.0;
      error = std::max(error, rounding + codes);
      peak = std::max(peak, score);
      ++seen;
    }
    double total = std::isinf(sink_logit) ? 0.0 : std::exp(sink_logit - peak);
    for (double& score : scores) total += score = std::isinf(score) ? 0.0 : std::exp(score - peak);
    // exp turns the errors of two scores, that of the token and those of the total, into relative
    // ones; the weight, its sum and the weighted sum round once each token or so, the exponential
    // errs by some units and what follows by a few more.
    const double relative =
        std::expm1(2.0 * error) + (3.0 * static_cast<double>(seen) + 32.0) * 0x1p-24;
    // Weights times scales are rounded to 127 steps of the largest.
    std::vector<double> step(values.rows(), 0.0);
    double largest = 0.0;
    for (std::size_t t = 0; t < values.rows(); ++t) {
      for (std::size_t d = 0; d < head_dim; ++d) {
        step[t] = std::max(step[t], std::abs(static_cast<double>(values(t, d))));
      }
      if (total > 0.0) largest = std::max(largest, scores[t] / total * step[t]);
    }
    for (std::size_t d = 0; d < head_dim; ++d) {
      double sum = 0.0;
      double size = 0.0;
      double rounded = 0.0;
      for (std::size_t t = 0; total > 0.0 && t < values.rows(); ++t) {
        const double value = static_cast<double>(values(t, d));
        const double part = scores[t] / total * value;
        sum += part;
        size += std::abs(part);
        if (rounds_weights && step[t] > 0.0) rounded += largest / 253.0 * std::abs(value) / step[t];
      }
      out.y[i * q.cols() + column + d] = sum;
      out.bound[i * q.cols() + column + d] = relative * size + rounded * (1.0 + relative);
    }
  }
}

/// Attention over what `Cache` makes of k and v.
template <class Cache>
expected_attention expect_attention(std::size_t n_kv_heads, const matrix& q, const matrix& k,
                                    const matrix& v, const reference_options& options = {},
                                    std::size_t keys_waiting = 0, std::size_t values_waiting = 0,
                                    std::size_t first = 0) {
  using keys = typename Cache::key_side;
  using values = typename Cache::value_side;
  const std::size_t head_dim = k.cols() / n_kv_heads;
  const std::size_t group = q.cols() / k.cols();
  const auto key_data = qompose::detail::transform_data_for<typename keys::transform>(head_dim);
  const auto value_data = qompose::detail::transform_data_for<typename values::transform>(head_dim);
  expected_attention expected;
  expected.y.resize(q.values().size());
  expected.bound.resize(q.values().size());
  for (std::size_t h = 0; h < n_kv_heads * group; ++h) {
    const std::size_t head = h / group;
    matrix stored_k = stored_side<keys>(head_of(k, head, head_dim), first, keys_waiting,
                                        Cache::block_tokens, key_data);
    matrix stored_v = stored_side<values>(head_of(v, head, head_dim), first, values_waiting,
                                          Cache::block_tokens, value_data);
    for (std::size_t t = 0; t < k.rows(); ++t) {
      keys::transform::unfold(key_data, stored_k.view().row(t), head_dim);
      values::transform::unfold(value_data, stored_v.view().row(t), head_dim);
    }
    const double sink = options.sink_logits.empty() ? -std::numeric_limits<double>::infinity()
                                                    : options.sink_logits[h];
    // Transforms spread the error of an element over the head, which a factor covers.
    add_expected(q, h * head_dim, stored_k, stored_v, options, sink,
                 qompose::detail::cache_codes<typename keys::spec>::has_integers,
                 qompose::detail::cache_codes<typename values::spec>::has_integers, expected);
  }
  return expected;
}

inline void check_attention(const expected_attention& expected, const matrix& y,
                            double slack = 1.0) {
  double worst = 0.0;
  for (std::size_t i = 0; i < expected.y.size(); ++i) {
    const double error = std::abs(static_cast<double>(y.values()[i]) - expected.y[i]);
    const double bound = slack * expected.bound[i];
    // Written so that NaN is an error.
    if (!(error <= bound)) worst = std::max(worst, error > 0.0 ? error / (bound + 1e-30) : 1e30);
  }
  INFO("worst error in units of its bound");
  CHECK(worst == 0.0);
}

}  // namespace qompose_tests
