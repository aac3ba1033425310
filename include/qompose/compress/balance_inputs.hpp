// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Moves scale between inputs and weights so that rounding hurts least.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "qompose/compress/input_moments.hpp"
#include "qompose/core/error.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/decoder/rebalance.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Factors for columns, with a geometric mean of one; 1 where a channel or a column is empty.
inline std::vector<float> balancing_factors(const std::vector<double>& inputs,
                                            const std::vector<double>& columns) {
  std::vector<double> logs(inputs.size());
  double mean = 0.0;
  std::size_t counted = 0;
  for (std::size_t c = 0; c < inputs.size(); ++c) {
    if (!(inputs[c] > 0.0 && columns[c] > 0.0)) continue;
    logs[c] = 0.25 * std::log(inputs[c] / columns[c]);
    mean += logs[c];
    ++counted;
  }
  if (counted > 0) mean /= static_cast<double>(counted);
  // A channel that some hundred tokens hardly touched must not be scaled out of sight.
  constexpr double bound = 6.0;
  std::vector<float> factors(inputs.size(), 1.0f);
  for (std::size_t c = 0; c < inputs.size(); ++c) {
    if (!(inputs[c] > 0.0 && columns[c] > 0.0)) continue;
    const double log = logs[c] - mean;
    factors[c] = static_cast<float>(std::exp(log < -bound ? -bound : log > bound ? bound : log));
  }
  return factors;
}

inline void divide(std::vector<float>& values, std::span<const float> factors) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] /= factors[i];
}

inline std::vector<double> channel_squares(const block_gram& gram) {
  std::vector<double> squares(gram.in_features());
  for (std::size_t c = 0; c < squares.size(); ++c) {
    squares[c] = static_cast<double>(gram.diagonal(c));
  }
  return squares;
}

/// Columns that share a value channel, because their query heads share a KV head, must share a
/// factor: [n_heads * head_dim] sums over the heads of a group to [n_kv_heads * head_dim].
inline std::vector<double> sum_over_group(std::span<const double> columns,
                                          const decoder_config& config) {
  const std::size_t group = config.n_heads / config.n_kv_heads;
  std::vector<double> sums(config.n_kv_heads * config.head_dim);
  for (std::size_t i = 0; i < columns.size(); ++i) {
    sums[i / config.head_dim / group * config.head_dim + i % config.head_dim] += columns[i];
  }
  return sums;
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Multiplies the columns of every matrix by factors, and what produces its inputs by their
/// inverses: RMSNorm gains for q, k, v, gate and up, rows of v_proj for o_proj, rows of up_proj for
/// down_proj. The function that the model computes stays the same, and running it costs nothing.
///
/// Rounding a group of weights with a shared scale adds about the same error to each of them, so
/// column j of W adds E[x_j^2] / t_j^2 times mean(t^2 w^2) to the squared error of the output when
/// it is scaled by t_j. The product is least for t_j = (E[x_j^2] / E[w_j^2])^(1/4).
///
/// @param weights  changed in place: factors are noted; every matrix is read once
/// @param moments  from `measure_inputs` on the same weights; changed to what they would be on the
///                 balanced ones
/// @throws qompose::shape_error if the moments are of another model
/// @par Source
/// The idea of Lin et al., "AWQ", MLSys 2024, arXiv:2306.00978, with the closed form above in
/// place of its search; where the scales go follows its section 3.2.
inline void balance_inputs(model_weights& weights, std::span<input_moments> moments) {
  const decoder_config& config = weights.config;
  if (moments.size() != weights.layers.size()) {
    throw shape_error("balance_inputs: moments of " + std::to_string(moments.size()) +
                      " blocks, expected " + std::to_string(weights.layers.size()));
  }
  for (std::size_t i = 0; i < moments.size(); ++i) {
    layer_weights& layer = weights.layers[i];
    input_moments& inputs = moments[i];
    if (inputs.qkv.in_features() != config.dim || inputs.ffn_in.in_features() != config.dim ||
        inputs.attention_out.in_features() != layer.o_proj.cols ||
        inputs.ffn_out.in_features() != config.hidden_dim) {
      throw shape_error("balance_inputs: the moments of block " + std::to_string(i) +
                        " have other lengths than its inputs");
    }
    const auto qkv = detail::balancing_factors(
        detail::channel_squares(inputs.qkv),
        detail::column_mean_squares({&layer.q_proj, &layer.k_proj, &layer.v_proj}));
    for (auto* matrix : {&layer.q_proj, &layer.k_proj, &layer.v_proj}) matrix->scale_columns(qkv);
    detail::divide(layer.attention_norm, qkv);
    inputs.qkv.divide_channels(qkv);

    const auto ffn_in =
        detail::balancing_factors(detail::channel_squares(inputs.ffn_in),
                                  detail::column_mean_squares({&layer.gate_proj, &layer.up_proj}));
    for (auto* matrix : {&layer.gate_proj, &layer.up_proj}) matrix->scale_columns(ffn_in);
    detail::divide(layer.ffn_norm, ffn_in);
    inputs.ffn_in.divide_channels(ffn_in);

    const auto value = detail::balancing_factors(
        detail::sum_over_group(detail::channel_squares(inputs.attention_out), config),
        detail::sum_over_group(detail::column_mean_squares({&layer.o_proj}), config));
    std::vector<float> attended(layer.o_proj.cols);
    for (std::size_t c = 0; c < attended.size(); ++c) {
      const std::size_t kv_head = c / config.head_dim / (config.n_heads / config.n_kv_heads);
      attended[c] = value[kv_head * config.head_dim + c % config.head_dim];
    }
    layer.o_proj.scale_columns(attended);
    layer.v_proj.scale_rows(detail::reciprocals(value));
    detail::divide(layer.v_bias, value);
    inputs.attention_out.divide_channels(attended);

    const auto hidden = detail::balancing_factors(detail::channel_squares(inputs.ffn_out),
                                                  detail::column_mean_squares({&layer.down_proj}));
    layer.down_proj.scale_columns(hidden);
    layer.up_proj.scale_rows(detail::reciprocals(hidden));
    detail::divide(layer.up_bias, hidden);
    inputs.ffn_out.divide_channels(hidden);
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
