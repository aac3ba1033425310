// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A stand-in for a decoder whose logits are a table, so that expected values can be worked
///        out by hand.

#include <algorithm>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/decoder/decoder.hpp"

namespace qompose_tests {

/// Predicts from the last token alone, and remembers what it was shown.
class bigram_model {
 public:
  /// Stands in for `session`.
  class session_type {
   public:
    session_type(std::size_t context, std::size_t max_batch)
        : context_(context), max_batch_(max_batch) {}

    std::size_t length() const { return length_; }
    std::size_t context() const { return context_; }
    std::size_t max_batch() const { return max_batch_; }
    void truncate(std::size_t length) { length_ = length; }

   private:
    friend class bigram_model;
    std::size_t context_;
    std::size_t max_batch_;
    std::size_t length_ = 0;
    std::vector<float> logits_;
  };

  /// @param table  [vocabulary, vocabulary]: the logits after each token
  bigram_model(std::vector<std::vector<float>> table, std::size_t seq_len)
      : table_(std::move(table)) {
    config_.vocab_size = table_.size();
    config_.seq_len = seq_len;
  }

  const qompose::decoder_config& config() const { return config_; }
  qompose::decoder_config& config() { return config_; }

  session_type start(std::size_t context, std::size_t max_batch = 256) const {
    contexts.push_back(context);
    return {context, std::min(context, max_batch)};
  }

  template <class Executor = qompose::serial>
  qompose::matrix_view<const float> forward(std::span<const qompose::token_id> tokens,
                                            session_type& state, qompose::logits_for which,
                                            const Executor& = {}) const {
    const std::size_t n = tokens.size();
    const bool all = which == qompose::logits_for::all;
    if (n == 0 || n > state.context_ - state.length_ || (all && n > state.max_batch_)) {
      throw std::logic_error("the call breaks the decoder's contract");
    }
    if (state.length_ == 0) sequences.emplace_back();
    sequences.back().insert(sequences.back().end(), tokens.begin(), tokens.end());
    state.length_ += n;
    state.logits_.clear();
    for (const qompose::token_id token : all ? tokens : tokens.last(1)) {
      const auto& row = table_.at(static_cast<std::size_t>(token));
      state.logits_.insert(state.logits_.end(), row.begin(), row.end());
    }
    return {state.logits_.data(), all ? n : 1, table_.size()};
  }

  mutable std::vector<std::vector<qompose::token_id>> sequences;  ///< what each run was shown
  mutable std::vector<std::size_t> contexts;                      ///< of every session

 private:
  std::vector<std::vector<float>> table_;
  qompose::decoder_config config_;
};

}  // namespace qompose_tests
