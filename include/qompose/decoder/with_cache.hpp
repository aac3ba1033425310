// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A model whose sequences have caches chosen at run time.

#include <cstddef>
#include <span>
#include <utility>

#include "qompose/core/config.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/cache_choice.hpp"
#include "qompose/decoder/decoder.hpp"

namespace qompose {

/// What `generate` and `perplexity` ask of a model, with other caches than those of its recipe.
/// Refers to the model, which has to outlive it.
///
///     qp::perplexity(qp::with_cache(model, int8), tokens);
template <class Model>
class with_cache {
 public:
  QOMPOSE_INLINE with_cache(const Model& model, cache_choice caches)
      : model_(model), caches_(std::move(caches)) {}

  [[nodiscard]] QOMPOSE_INLINE const decoder_config& config() const noexcept {
    return model_.config();
  }
  /// A new sequence, as `decoder::start` makes it.
  [[nodiscard]] QOMPOSE_INLINE session<any_cache> start(std::size_t context,
                                                        std::size_t max_batch = 256) const {
    return model_.start(caches_, context, max_batch);
  }
  /// As `decoder::forward`.
  template <executor Executor = serial>
  QOMPOSE_INLINE matrix_view<const float> forward(std::span<const token_id> tokens,
                                                  session<any_cache>& state,
                                                  logits_for which = logits_for::last,
                                                  const Executor& run = {}) const {
    return model_.forward(tokens, state, which, run);
  }

 private:
  const Model& model_;
  cache_choice caches_;
};

}  // namespace qompose
