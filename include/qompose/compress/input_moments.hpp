// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What the matrices of a model are multiplied by: second moments of their inputs.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "qompose/calibrate/block_gram.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/compress_model.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/model_weights.hpp"
#include "qompose/recipe/presets.hpp"

namespace qompose {

/// Second moments of the inputs of one block's matrices.
struct input_moments {
  block_gram qkv;            ///< of q, k and v: dim channels
  block_gram attention_out;  ///< of o: n_heads * head_dim channels
  block_gram ffn_in;         ///< of gate and up: dim channels
  block_gram ffn_out;        ///< of down: hidden_dim channels
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// Adds up products at the taps in front of the matrices.
template <executor Executor>
class moments_observer {
 public:
  moments_observer(std::vector<input_moments>& moments, const Executor& run)
      : moments_(moments), run_(run) {}

  void operator()(std::string_view tap, std::size_t layer, matrix_view<const float> x) const {
    block_gram* gram = nullptr;
    if (tap == "attention_norm") gram = &moments_[layer].qkv;
    if (tap == "attention_out_input") gram = &moments_[layer].attention_out;
    if (tap == "ffn_norm") gram = &moments_[layer].ffn_in;
    if (tap == "ffn_out_input") gram = &moments_[layer].ffn_out;
    if (gram == nullptr) return;
    if (gram->in_features() == 0) *gram = block_gram(x.cols());
    run_.for_each(gram->blocks(), [&](std::size_t b) { gram->add(b, x); });
  }

 private:
  std::vector<input_moments>& moments_;
  const Executor& run_;
};

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Runs a model over some text and measures what its matrices are multiplied by.
///
/// The text passes a copy of the model with 8-bit weights and float activations, in windows of 512
/// tokens, so memory stays far below that of the float model.
///
/// @param weights  the model
/// @param tokens   some hundred tokens of ordinary text, at least one
/// @param run      who runs the pieces; the result does not depend on it
/// @return one entry a block; sums over all tokens
/// @throws qompose::argument_error if there are no tokens or one is no token
template <executor Executor = serial>
[[nodiscard]] std::vector<input_moments> measure_inputs(const model_weights& weights,
                                                        std::span<const token_id> tokens,
                                                        const Executor& run = {}) {
  if (tokens.empty()) throw argument_error("measure_inputs: no tokens, expected at least one");
  using model = uniform_model<w8a32>;
  const decoder<model> probe = compress_model<model>(weights, compress_options<>{}, run);
  const std::size_t window = std::min<std::size_t>({512, tokens.size(), probe.config().seq_len});

  std::vector<input_moments> moments(weights.layers.size());
  auto state = probe.start(window);
  for (std::size_t first = 0; first < tokens.size(); first += window) {
    state.truncate(0);
    probe.forward(tokens.subspan(first, std::min(window, tokens.size() - first)), state,
                  logits_for::last, run, detail::moments_observer<Executor>(moments, run));
  }
  return moments;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
