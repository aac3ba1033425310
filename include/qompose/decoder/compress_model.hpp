// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A model on disk to a decoder in memory, without calibration data.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/rules/default_rule.hpp"

namespace qompose {

/// What `compress_model` takes besides the recipe.
template <class Rule = default_rule>
struct compress_options {
  Rule rule = {};  ///< finds the scales
  /// Called after every block and after the embedding, with how many are done, of how many.
  std::function<void(std::size_t done, std::size_t total)> progress = {};
};

namespace detail {
inline namespace QOMPOSE_ISA {

inline aligned_buffer<float> copy_vector(const std::vector<float>& values) {
  aligned_buffer<float> copy(values.size());
  if (!values.empty()) std::memcpy(copy.data(), values.data(), values.size() * sizeof(float));
  return copy;
}

/// Matrices on top of each other, compressed as one; their biases too, zeros where one is missing.
template <class Recipe, class Rule, executor Executor>
linear<Recipe> compress_stacked(std::initializer_list<const weight_source*> sources,
                                std::initializer_list<const std::vector<float>*> biases,
                                const Rule& rule, const Executor& run) {
  const std::size_t cols = (*sources.begin())->cols;
  std::size_t rows = 0;
  for (const weight_source* source : sources) rows += source->rows;

  std::vector<float> bias;
  if (std::any_of(biases.begin(), biases.end(), [](const auto* b) { return !b->empty(); })) {
    auto source = sources.begin();
    for (const std::vector<float>* part : biases) {
      const std::size_t end = bias.size() + (*source++)->rows;
      bias.insert(bias.end(), part->begin(), part->end());
      bias.resize(end, 0.0f);
    }
  }
  const auto read_rows = [&](std::size_t first, std::size_t count, float* out) {
    for (const weight_source* source : sources) {
      if (first < source->rows && count > 0) {
        const std::size_t part = std::min(count, source->rows - first);
        source->read_rows(first, part, out);
        out += part * cols;
        count -= part;
        first = 0;
      } else if (first >= source->rows) {
        first -= source->rows;
      }
    }
  };
  try {
    return compress_rows<Recipe>(rows, cols, read_rows, bias, rule, run);
  } catch (const value_error& wrong) {
    throw value_error((*sources.begin())->name + ": " + wrong.what());
  }
}

/// The four matrices of a block.
enum class block_matrix { qkv, attention_out, ffn_in, ffn_out };

/// One rule for every matrix.
template <class Rule>
struct same_rule {
  Rule rule;

  template <class Transform>
  const Rule& get(std::size_t, block_matrix) const {
    return rule;
  }
};

/// `rules.get<Transform>(layer, matrix)` is the rule for a matrix whose recipe has that transform.
template <class ModelRecipe, class Rules, executor Executor>
decoder_block<ModelRecipe> compress_block(const layer_weights& w, std::size_t layer,
                                          const Rules& rules, const Executor& run) {
  const auto rule = [&]<class Recipe>(std::type_identity<Recipe>, block_matrix matrix) {
    return rules.template get<typename qompose::as_recipe<Recipe>::transform_type>(layer, matrix);
  };
  using qkv = typename ModelRecipe::qkv;
  using out = typename ModelRecipe::attention_out;
  using ffn_in = typename ModelRecipe::ffn_in;
  using ffn_out = typename ModelRecipe::ffn_out;
  decoder_block<ModelRecipe> block{
      copy_vector(w.attention_norm),
      copy_vector(w.q_norm),
      copy_vector(w.k_norm),
      copy_vector(w.ffn_norm),
      compress_stacked<qkv>({&w.q_proj, &w.k_proj, &w.v_proj}, {&w.q_bias, &w.k_bias, &w.v_bias},
                            rule(std::type_identity<qkv>{}, block_matrix::qkv), run),
      compress_stacked<out>({&w.o_proj}, {&w.o_bias},
                            rule(std::type_identity<out>{}, block_matrix::attention_out), run),
      compress_stacked<ffn_in>({&w.gate_proj, &w.up_proj}, {&w.gate_bias, &w.up_bias},
                               rule(std::type_identity<ffn_in>{}, block_matrix::ffn_in), run),
      compress_stacked<ffn_out>({&w.down_proj}, {&w.down_bias},
                                rule(std::type_identity<ffn_out>{}, block_matrix::ffn_out), run)};
  for (const weight_source* source :
       {&w.q_proj, &w.k_proj, &w.v_proj, &w.o_proj, &w.gate_proj, &w.up_proj, &w.down_proj}) {
    source->release();
  }
  return block;
}

/// Compresses block by block; see @ref compress_model.
template <class ModelRecipe, class Rules, class HeadRule, executor Executor>
decoder<ModelRecipe> compress_with_rules(
    const model_weights& weights, const Rules& rules, const HeadRule& head_rule,
    const std::function<void(std::size_t, std::size_t)>& progress, const Executor& run) {
  const decoder_config& config = weights.config;
  if (config.head_dim > max_head_dim) {
    throw argument_error("compress_model: head_dim " + std::to_string(config.head_dim) +
                         ", expected at most " + std::to_string(max_head_dim));
  }
  const std::size_t total = config.n_layers + 1;
  const auto report = [&](std::size_t done) {
    if (progress) progress(done, total);
  };
  decoder_weights<ModelRecipe> packed;
  packed.config = config;
  packed.parameters = weights.parameters();
  packed.blocks.reserve(config.n_layers);
  for (std::size_t i = 0; i < config.n_layers; ++i) {
    packed.blocks.push_back(compress_block<ModelRecipe>(weights.layers[i], i, rules, run));
    report(i + 1);
  }
  using head = typename ModelRecipe::head;
  packed.final_norm = copy_vector(weights.final_norm);
  packed.head = compress_stacked<head>({&weights.head}, {}, head_rule, run);
  weights.head.release();
  if (!config.tied_embedding) {
    packed.embedding = compress_stacked<head>({&weights.embedding}, {}, head_rule, run);
    weights.embedding.release();
  }
  report(total);
  return decoder<ModelRecipe>(std::move(packed));
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Compresses a model as a recipe says, needing no data.
///
/// Weights are read from the mapped file some rows at a time, packed, and their pages dropped, so
/// the peak of memory is the packed model and a few rows.
///
/// @tparam ModelRecipe  derived from `model_recipe`
/// @param weights  a model from `load_model`
/// @param options  fitting rule and progress callback
/// @param run      who runs the rows; the result does not depend on it
/// @throws qompose::value_error at a NaN or an infinity, naming the matrix and the position
/// @throws qompose::argument_error if heads are longer than the kernels take
template <class ModelRecipe, class Rule = default_rule, executor Executor = serial>
[[nodiscard]] decoder<ModelRecipe> compress_model(const model_weights& weights,
                                                  const compress_options<Rule>& options = {},
                                                  const Executor& run = {}) {
  return detail::compress_with_rules<ModelRecipe>(weights, detail::same_rule<Rule>{options.rule},
                                                  options.rule, options.progress, run);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
