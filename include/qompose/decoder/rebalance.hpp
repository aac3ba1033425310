// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rewrites a model's weights without changing the function that it computes.
///
/// Models are often published with their matrices already rounded to some grid. Rounding them to
/// the same grid again costs nothing, which would flatter a comparison; each pass moves every
/// matrix that it touches off the grid.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/random.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/model_weights.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Log-uniform on [0.8, 1.25].
inline float unit_factor(random_source& random) {
  return static_cast<float>(std::exp((2.0 * random.uniform() - 1.0) * std::log(1.25)));
}

inline std::vector<float> reciprocals(std::span<const float> values) {
  std::vector<float> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) result[i] = 1.0f / values[i];
  return result;
}

inline void multiply(std::vector<float>& values, std::span<const float> factors) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] *= factors[i];
}

/// Mean square of each column of matrices on top of each other; their pages are dropped.
inline std::vector<double> column_mean_squares(
    std::initializer_list<const weight_source*> matrices) {
  const std::size_t cols = (*matrices.begin())->cols;
  std::vector<double> squares(cols);
  std::vector<float> row(cols);
  std::size_t rows = 0;
  for (const weight_source* matrix : matrices) {
    for (std::size_t r = 0; r < matrix->rows; ++r) {
      matrix->read_rows(r, 1, row.data());
      for (std::size_t c = 0; c < cols; ++c) {
        squares[c] += static_cast<double>(row[c]) * static_cast<double>(row[c]);
      }
    }
    rows += matrix->rows;
    matrix->release();
  }
  for (double& square : squares) square /= static_cast<double>(rows);
  return squares;
}

/// Root mean square of each column; 1 for a column of zeros.
inline std::vector<float> column_rms(std::initializer_list<const weight_source*> matrices) {
  const std::vector<double> squares = column_mean_squares(matrices);
  std::vector<float> result(squares.size());
  for (std::size_t c = 0; c < squares.size(); ++c) {
    const double rms = std::sqrt(squares[c]);
    // A column that is not finite is left for the compression to report.
    result[c] = rms > 1e-30 && rms < 1e30 ? static_cast<float>(rms) : 1.0f;
  }
  return result;
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Multiplies the gains of the RMSNorms into the columns of the matrices that read them: those of
/// `attention_norm` into q, k and v, those of `ffn_norm` into gate and up, those of `final_norm`
/// into a head of its own. The gains become ones.
///
/// The gain of the final norm stays where the head is the embedding, whose rows are read as well.
///
/// @param weights  changed in place: factors are noted, no matrix is read
/// @par Source
/// The first step of SliceGPT and QuaRot; Ashkboos et al., arXiv:2401.15024, section 3.2.
inline void fold_norms(model_weights& weights) {
  const auto fold = [](std::vector<float>& gain, std::initializer_list<weight_source*> readers) {
    for (weight_source* reader : readers) reader->scale_columns(gain);
    std::fill(gain.begin(), gain.end(), 1.0f);
  };
  for (layer_weights& layer : weights.layers) {
    fold(layer.attention_norm, {&layer.q_proj, &layer.k_proj, &layer.v_proj});
    fold(layer.ffn_norm, {&layer.gate_proj, &layer.up_proj});
  }
  if (!weights.config.tied_embedding) fold(weights.final_norm, {&weights.head});
}

/// Gives every column of the matrices that read an RMSNorm the same root mean square, 1, and
/// multiplies the gains of the norm by what that takes: q, k and v share one norm, gate and up the
/// other.
///
/// Gains that were folded into columns make some columns of a group of weights much larger than
/// others, and the small ones then lose their digits to rounding; this gives them back, without
/// data. It needs no @ref fold_norms before it, but makes its result as good as the matrices the
/// model was trained with.
///
/// @param weights  changed in place: factors are noted
/// @par Cost  reads those matrices once
inline void balance_norms(model_weights& weights) {
  const auto balance = [](std::vector<float>& gain, std::initializer_list<weight_source*> readers,
                          const std::vector<float>& rms) {
    detail::multiply(gain, rms);
    for (weight_source* reader : readers) reader->scale_columns(detail::reciprocals(rms));
  };
  for (layer_weights& l : weights.layers) {
    balance(l.attention_norm, {&l.q_proj, &l.k_proj, &l.v_proj},
            detail::column_rms({&l.q_proj, &l.k_proj, &l.v_proj}));
    balance(l.ffn_norm, {&l.gate_proj, &l.up_proj}, detail::column_rms({&l.gate_proj, &l.up_proj}));
  }
}

/// Multiplies value channels and hidden units by seeded factors, and divides the columns that read
/// them by the same.
///
/// Channel c of KV head h: row of v_proj (and its bias) times s, columns of o_proj for channel c of
/// all query heads that share h by s. Hidden unit j: row of up_proj (and its bias) times s, column
/// j of down_proj by s. Each s is log-uniform in [0.8, 1.25].
///
/// @param weights  changed in place: factors are noted, no matrix is read
/// @param seed     of the factors
inline void rescale_units(model_weights& weights, std::uint64_t seed) {
  const decoder_config& config = weights.config;
  const std::size_t heads_per_kv_head = config.n_heads / config.n_kv_heads;
  random_source random(seed);
  for (layer_weights& layer : weights.layers) {
    std::vector<float> value(config.n_kv_heads * config.head_dim);
    std::vector<float> hidden(config.hidden_dim);
    for (float& factor : value) factor = detail::unit_factor(random);
    for (float& factor : hidden) factor = detail::unit_factor(random);

    // Query head h reads KV head h / heads_per_kv_head.
    std::vector<float> attended(config.n_heads * config.head_dim);
    for (std::size_t i = 0; i < attended.size(); ++i) {
      const std::size_t kv_head = i / config.head_dim / heads_per_kv_head;
      attended[i] = value[kv_head * config.head_dim + i % config.head_dim];
    }
    layer.v_proj.scale_rows(value);
    detail::multiply(layer.v_bias, value);
    layer.o_proj.scale_columns(detail::reciprocals(attended));

    layer.up_proj.scale_rows(hidden);
    detail::multiply(layer.up_bias, hidden);
    layer.down_proj.scale_columns(detail::reciprocals(hidden));
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
