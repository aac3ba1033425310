// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A model on disk to a decoder in memory, with the help of some text.

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "qompose/calibrate/gptq.hpp"
#include "qompose/compress/balance_inputs.hpp"
#include "qompose/compress/input_moments.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/compress_model.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/rules/default_rule.hpp"

namespace qompose {

/// A model ready to be rounded: inputs and weights balanced, and what GPTQ needs to know of every
/// matrix. Made once, compressed by any number of recipes.
struct calibrated_model {
  model_weights weights;               ///< balanced
  std::vector<input_moments> moments;  ///< of the balanced weights' inputs; none: no GPTQ
};

namespace detail {

/// GPTQ for every matrix of the blocks, in the basis of its recipe.
template <class Rule>
class gptq_rules {
 public:
  gptq_rules(const std::vector<input_moments>& moments, const Rule& rule)
      : moments_(moments), rule_(rule) {}

  /// The rule, and the feedback that it points to.
  struct owned_rule {
    gptq_feedback feedback;
    Rule rule;

    template <tensor_spec Spec>
    void quantize(quantized_matrix<Spec>& q, matrix_view<float> rows) const {
      if (feedback.in_features() == 0) {
        quantize_into(q, matrix_view<const float>(rows), rule, serial{});
      } else {
        gptq_rule<Rule>{rule, &feedback}.quantize(q, rows);
      }
    }
  };

  template <class Transform>
  [[nodiscard]] owned_rule get(std::size_t layer, block_matrix matrix) const {
    if (moments_.empty()) return {gptq_feedback(), rule_};
    const input_moments& m = moments_[layer];
    const block_gram& gram = matrix == block_matrix::qkv             ? m.qkv
                             : matrix == block_matrix::attention_out ? m.attention_out
                             : matrix == block_matrix::ffn_in        ? m.ffn_in
                                                                     : m.ffn_out;
    return {gptq_feedback::make<Transform>(gram), rule_};
  }

 private:
  const std::vector<input_moments>& moments_;
  const Rule& rule_;
};

}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Measures what a model's matrices are multiplied by and balances inputs and weights.
///
/// @param weights             a model from `load_model`
/// @param calibration_tokens  some hundred tokens of ordinary text, 1000 are plenty
/// @param run                 who runs the pieces; the result does not depend on it
/// @throws as `measure_inputs`
template <executor Executor = serial>
[[nodiscard]] calibrated_model calibrate(const model_weights& weights,
                                         std::span<const token_id> calibration_tokens,
                                         const Executor& run = {}) {
  calibrated_model model{weights, measure_inputs(weights, calibration_tokens, run)};
  balance_inputs(model.weights, model.moments);
  return model;
}

/// Rounds a calibrated model with GPTQ (by the fitting rule alone where there are no moments); the
/// head by the fitting rule alone.
///
/// @tparam ModelRecipe  derived from `model_recipe`; blocks of its transforms must divide
///                      `block_gram::block_size`
/// @param model    from `calibrate`
/// @param options  fitting rule and progress callback
/// @param run      who runs the pieces; the result does not depend on it
/// @throws as `compress_model` without text
template <class ModelRecipe, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] decoder<ModelRecipe> compress_model(const calibrated_model& model,
                                                  const compress_options<Rule>& options = {},
                                                  const Executor& run = {}) {
  return detail::compress_with_rules<ModelRecipe>(
      model.weights, detail::gptq_rules<Rule>(model.moments, options.rule), options.rule,
      options.progress, run);
}

/// Calibrates and compresses in one go.
///
/// @tparam ModelRecipe  derived from `model_recipe`
/// @param weights             a model from `load_model`
/// @param calibration_tokens  some hundred tokens of ordinary text
/// @param options             fitting rule and progress callback
/// @param run                 who runs the pieces; the result does not depend on it
/// @throws as `calibrate` and `compress_model` without text
template <class ModelRecipe, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] decoder<ModelRecipe> compress_model(const model_weights& weights,
                                                  std::span<const token_id> calibration_tokens,
                                                  const compress_options<Rule>& options = {},
                                                  const Executor& run = {}) {
  return compress_model<ModelRecipe>(calibrate(weights, calibration_tokens, run), options, run);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
