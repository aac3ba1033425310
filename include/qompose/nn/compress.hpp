// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Dense weights to a compressed layer, without any data but statistics of activations where
/// the recipe stores their scales.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/nn/activation_statistics.hpp"
#include "qompose/nn/linear.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/quantize/stored_scales.hpp"
#include "qompose/rules/default_rule.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Folds a transform into rows of weights, by vector where that is the map of the activations.
template <class Transform, class Isa = isa_tag>
void fold_rows(const typename Transform::data& data, matrix_view<float> rows) {
  if constexpr (requires { requires Transform::folds_as_forward; }) {
    with_best_target<Isa>([&]<class Target>() {
      for (std::size_t r = 0; r < rows.rows(); ++r) {
        Target::template transform_row<Transform>::Run(data, rows.row(r), rows.row(r), rows.cols());
      }
    });
  } else {
    for (std::size_t r = 0; r < rows.rows(); ++r) Transform::fold(data, rows.row(r), rows.cols());
  }
}

/// Reads rows of a matrix.
struct rows_of {
  matrix_view<const float> weights;
  void operator()(std::size_t first, std::size_t count, float* out) const {
    for (std::size_t r = 0; r < count; ++r) {
      std::copy_n(weights.row(first + r), weights.cols(), out + r * weights.cols());
    }
  }
};

/// `compress_rows` with the scales of the activations.
template <class Recipe, class ReadRows, class Rule, executor Executor>
[[nodiscard]] linear<Recipe> pack_rows(std::size_t rows, std::size_t cols,
                                       const ReadRows& read_rows, std::span<const float> bias,
                                       const Rule& rule, const Executor& run,
                                       typename linear<Recipe>::transform_data transform,
                                       typename linear<Recipe>::activation_scales_type scales) {
  using spec = typename linear<Recipe>::weight_spec;
  using transform_type = typename linear<Recipe>::transform_type;
  if (!bias.empty() && bias.size() != rows) {
    throw shape_error("compress: bias: " + std::to_string(bias.size()) + " elements, expected " +
                      std::to_string(rows));
  }
  if (!bias.empty()) detail::require_finite("compress: bias", {bias.data(), 1, bias.size()});
  detail::require_transform_data<transform_type>(transform, cols);

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
    if constexpr (!transform_type::is_identity) detail::fold_rows<transform_type>(transform, view);
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
  return linear<Recipe>(std::move(packed), std::move(kept_bias), std::move(transform),
                        std::move(scales));
}

/// The scales that a recipe stores, of what `inputs` has seen.
/// @throws qompose::shape_error, argument_error, value_error as `compress` does
template <class Recipe, class Transform>
[[nodiscard]] aligned_buffer<float> fit_activation_scales(
    const activation_statistics<Transform>& inputs, std::size_t cols) {
  if (inputs.in_features() != cols) {
    throw shape_error("compress: activation statistics: of " +
                      std::to_string(inputs.in_features()) + " columns, expected " +
                      std::to_string(cols));
  }
  if (inputs.n_tokens() == 0 && cols > 0) {
    throw argument_error(
        "compress: activation statistics: of 0 rows, expected at least 1; call add first");
  }
  return fit_stored_scales<typename linear<Recipe>::activation_spec>(
      "compress: activation statistics", inputs.peaks());
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

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
/// @param transform   data of the recipe's transform, for rows of cols elements
/// @throws qompose::value_error at a NaN or an infinity, naming its position
/// @throws qompose::shape_error if the bias has another length than out_features, or the transform
///         is not for rows of cols elements
/// @par Cost  64 dense rows of scratch memory a thread; the whole matrix where scales are shared
///            between distant rows
template <class Recipe, class ReadRows, class Rule, executor Executor>
[[nodiscard]] linear<Recipe> compress_rows(std::size_t rows, std::size_t cols,
                                           const ReadRows& read_rows, std::span<const float> bias,
                                           const Rule& rule, const Executor& run,
                                           typename linear<Recipe>::transform_data transform) {
  static_assert(!is_calibrated<as_recipe<Recipe>>,
                "qompose: compress: the recipe stores the scales of its activations; add typical "
                "inputs to activation_statistics<recipe::transform_type> and hand it over behind "
                "the bias, or leave calibrated out");
  return detail::pack_rows<Recipe>(rows, cols, read_rows, bias, rule, run, std::move(transform),
                                   {});
}

/// The same for transforms whose data follows from the length of the rows.
template <class Recipe, class ReadRows, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] linear<Recipe> compress_rows(std::size_t rows, std::size_t cols,
                                           const ReadRows& read_rows,
                                           std::span<const float> bias = {}, const Rule& rule = {},
                                           const Executor& run = {}) {
  using transform_type = typename linear<Recipe>::transform_type;
  return compress_rows<Recipe>(rows, cols, read_rows, bias, rule, run,
                               detail::transform_data_for<transform_type>(cols));
}

/// The same for recipes that store the scales of their activations: `activation<..., calibrated>`.
///
/// @param inputs  of typical activations; the recipe's transform is the one that they went through.
///                Nothing that it has seen saturates
/// @throws qompose::shape_error if it is not for rows of cols elements, qompose::argument_error if
///         nothing was added to it, qompose::value_error if a scale is past the range of its format
template <class Recipe, class ReadRows, class Transform, class Rule = default_rule,
          executor Executor = serial>
[[nodiscard]] linear<Recipe> compress_rows(std::size_t rows, std::size_t cols,
                                           const ReadRows& read_rows, std::span<const float> bias,
                                           const activation_statistics<Transform>& inputs,
                                           const Rule& rule = {}, const Executor& run = {}) {
  constexpr bool fits = is_calibrated<as_recipe<Recipe>> &&
                        std::is_same_v<Transform, typename linear<Recipe>::transform_type>;
  static_assert(fits,
                "qompose: compress: the statistics are of inputs behind another transform, or the "
                "recipe finds its scales while running; write activation<..., calibrated> and "
                "activation_statistics<recipe::transform_type>");
  if constexpr (fits) {
    return detail::pack_rows<Recipe>(rows, cols, read_rows, bias, rule, run, inputs.transform(),
                                     detail::fit_activation_scales<Recipe>(inputs, cols));
  }
}

/// Compresses dense weights as a recipe says, needing no data: transform, then rounding.
///
/// @tparam Recipe    a recipe or a tensor spec
/// @param weights    [out_features, in_features], finite
/// @param bias       [out_features], or empty for none
/// @param rule       finds the scales: `absmax{}`, `mse_search{}`
/// @param run        who runs the rows; the result does not depend on it
/// @param transform  data of the recipe's transform, such as the factors of a `channel_scale`
/// @throws qompose::value_error at a NaN or an infinity, naming its position
/// @throws qompose::shape_error if the bias has another length than out_features, or the transform
///         is not for in_features
template <class Recipe, class Rule, executor Executor>
[[nodiscard]] linear<Recipe> compress(matrix_view<const float> weights, std::span<const float> bias,
                                      const Rule& rule, const Executor& run,
                                      typename linear<Recipe>::transform_data transform) {
  return compress_rows<Recipe>(weights.rows(), weights.cols(), detail::rows_of{weights}, bias, rule,
                               run, std::move(transform));
}

/// The same for transforms whose data follows from in_features.
template <class Recipe, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] linear<Recipe> compress(matrix_view<const float> weights,
                                      std::span<const float> bias = {}, const Rule& rule = {},
                                      const Executor& run = {}) {
  using transform_type = typename linear<Recipe>::transform_type;
  return compress<Recipe>(weights, bias, rule, run,
                          detail::transform_data_for<transform_type>(weights.cols()));
}

/// The same for recipes that store the scales of their activations: `activation<..., calibrated>`.
///
/// @param inputs  of typical activations, with the data of the recipe's transform; see
///                `compress_rows` for what it throws
template <class Recipe, class Transform, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] linear<Recipe> compress(matrix_view<const float> weights, std::span<const float> bias,
                                      const activation_statistics<Transform>& inputs,
                                      const Rule& rule = {}, const Executor& run = {}) {
  return compress_rows<Recipe>(weights.rows(), weights.cols(), detail::rows_of{weights}, bias,
                               inputs, rule, run);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
