// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A decoder of three layers, one KV head of 4 elements and 100 positions, and what is asked
///        of it.

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "qompose/decoder/compress_model.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/load_model.hpp"
#include "support/small_model.hpp"
#include "support/temporary_folder.hpp"

namespace qompose_tests {

/// @param windows  of the layers; empty for none
template <class Recipe>
qompose::decoder<Recipe> small_decoder(std::vector<std::size_t> windows = {}) {
  small_model model;
  model.n_layers = 3;
  model.seq_len = 100;
  const temporary_folder folder;
  small_gguf(model).write(folder / "model.gguf");
  qompose::model_weights weights = qompose::load_model(folder / "model.gguf");
  weights.config.windows = std::move(windows);
  return qompose::compress_model<Recipe>(weights);
}

/// n tokens without a short period.
inline std::vector<qompose::token_id> some_tokens(std::size_t n) {
  std::vector<qompose::token_id> tokens(n);
  for (std::size_t i = 0; i < n; ++i) {
    tokens[i] = static_cast<qompose::token_id>((i * i + i / 3) % 6);
  }
  return tokens;
}

/// Logits of the last of some more tokens.
template <class Model, class State>
std::vector<float> logits_after(const Model& model, State& state,
                                std::span<const qompose::token_id> tokens) {
  const auto logits = model.forward(tokens, state);
  return {logits.data(), logits.data() + logits.cols()};
}

}  // namespace qompose_tests
