// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Dense weights to a compressed layer, without any data.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/nn/linear.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/rules/default_rule.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// Packs weights that are read a few rows at a time, so that the dense matrix never exists whole.
///
/// @tparam Recipe     a recipe or a tensor spec
/// @param rows        out_features
/// @param cols        in_features
/// @param read_rows   `read_rows(first, count, float* out)` writes rows [first, first + count),
///                    row-major; called concurrently by a parallel executor
/// @param bias        [out_features], or empty
/// @param rule        finds the scales: `absmax{}`, `mse_search{}`
/// @param run         who runs the rows; the result does not depend on it
/// @throws qompose::value_error at a NaN or an infinity, naming its position
/// @throws qompose::shape_error if the bias has another length than out_features
/// @par Cost  64 dense rows of scratch memory a thread; the whole matrix where scales are shared
///            between distant rows
template <class Recipe, class ReadRows, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] linear<Recipe> compress_rows(std::size_t rows, std::size_t cols,
                                           const ReadRows& read_rows,
                                           std::span<const float> bias = {}, const Rule& rule = {},
                                           const Executor& run = {}) {
  using spec = typename linear<Recipe>::weight_spec;
  using transform = typename linear<Recipe>::transform_type;
  if (!bias.empty() && bias.size() != rows) {
    throw shape_error("compress: bias: " + std::to_string(bias.size()) + " elements, expected " +
                      std::to_string(rows));
  }
  if (!bias.empty()) detail::require_finite("compress: bias", {bias.data(), 1, bias.size()});

  typename linear<Recipe>::packed_type packed(rows, cols);
  constexpr std::size_t rows_together = detail::rows_that_share<spec>();
  const std::size_t block =
      rows_together > 0 ? round_up(4 * panel_rows, rows_together) : std::max<std::size_t>(rows, 1);
  run.for_each(divide_up(rows, block), [&](std::size_t i) {
    const std::size_t first = i * block;
    const std::size_t count = std::min(block, rows - first);
    aligned_buffer<float> dense(count * cols);
    read_rows(first, count, dense.data());
    const matrix_view<float> view(dense.data(), count, cols);
    detail::require_finite("compress: weights", view, first);
    const typename transform::data data{};
    if constexpr (!transform::is_identity) {
      for (std::size_t r = 0; r < count; ++r) transform::fold(data, view.row(r), cols);
    }
    quantized_matrix<spec> quantized(count, cols);
    if constexpr (requires { rule.quantize(quantized, view); }) {
      rule.quantize(quantized, view);
    } else {
      detail::quantize_or_throw("compress: weights", quantized, matrix_view<const float>(view),
                                rule, serial{}, first);
    }
    detail::require_finite_scales("compress: weights", quantized, first);
    detail::require_image("compress: weights", quantized, first);
    packed.store(first, quantized);
  });

  aligned_buffer<float> kept_bias(bias.size());
  if (!bias.empty()) std::memcpy(kept_bias.data(), bias.data(), bias.size_bytes());
  return linear<Recipe>(std::move(packed), std::move(kept_bias));
}

/// Compresses dense weights as a recipe says, needing no data: transform, then rounding.
///
/// @tparam Recipe  a recipe or a tensor spec
/// @param weights  [out_features, in_features], finite
/// @param bias     [out_features], or empty for none
/// @param rule     finds the scales: `absmax{}`, `mse_search{}`
/// @param run      who runs the rows; the result does not depend on it
/// @throws qompose::value_error at a NaN or an infinity, naming its position
/// @throws qompose::shape_error if the bias has another length than out_features
template <class Recipe, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] linear<Recipe> compress(matrix_view<const float> weights,
                                      std::span<const float> bias = {}, const Rule& rule = {},
                                      const Executor& run = {}) {
  const auto read_rows = [&](std::size_t first, std::size_t count, float* out) {
    for (std::size_t r = 0; r < count; ++r) {
      std::copy_n(weights.row(first + r), weights.cols(), out + r * weights.cols());
    }
  };
  return compress_rows<Recipe>(weights.rows(), weights.cols(), read_rows, bias, rule, run);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
