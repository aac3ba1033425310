// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief How well a model predicts tokens that it is shown.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/decoder.hpp"

namespace qompose {

/// Windows of a long text, and what is scored in them.
struct perplexity_options {
  std::size_t context = 0;  ///< tokens a window, >= 2; 0: 512, or what the model takes if less
  std::size_t stride = 0;   ///< from one window's first token to the next one's; 0: `context`
  /// The predictions made at positions `score_from` .. `context` - 2 of a window are scored, each
  /// of the token after it; default: `context` / 2.
  std::optional<std::size_t> score_from = {};
  /// Takes the place of each window's first token, where models expect it.
  std::optional<token_id> bos_id = {};
  std::size_t max_batch = 64;  ///< tokens that pass the model together, >= 1
};

/// Sequences that stand for themselves, and what is scored in them.
struct sequence_options {
  std::size_t context = 0;     ///< sequences are cut to it; 0: what the model takes
  std::size_t score_from = 0;  ///< predictions made at earlier positions are not scored
  std::size_t max_batch = 64;  ///< tokens that pass the model together, >= 1
};

/// What was found.
struct perplexity_result {
  double mean_nll = 0.0;     ///< mean of -log p(token), nats
  std::size_t n_scored = 0;  ///< tokens it is the mean of

  /// exp(mean_nll).
  [[nodiscard]] double perplexity() const { return std::exp(mean_nll); }
};

/// The callback that ignores progress.
struct ignore_progress {
  constexpr void operator()(std::size_t, std::size_t) const noexcept {}
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// -log softmax(logits)[token], in double: the sum over a large vocabulary would lose digits.
[[nodiscard]] inline double negative_log_likelihood(std::span<const float> logits, token_id token) {
  const auto most = static_cast<double>(*std::max_element(logits.begin(), logits.end()));
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  return std::log(sum) + most - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

/// Shows a model sequences and adds up what it thought of them.
template <class Model, executor Executor>
class scorer {
 public:
  scorer(const Model& model, std::size_t context, std::size_t max_batch, const Executor& run)
      : model_(model), run_(run), state_(model.start(context, max_batch)) {}

  /// Scores the predictions made at positions `from` .. `tokens.size()` - 2.
  void score(std::span<const token_id> tokens, std::size_t from) {
    if (tokens.size() < 2 || from > tokens.size() - 2) return;
    state_.truncate(0);
    // No head is needed where nothing is scored; `last` runs it once.
    if (from > 0) model_.forward(tokens.first(from), state_, logits_for::last, run_);
    while (from + 1 < tokens.size()) {
      const std::size_t n = std::min(state_.max_batch(), tokens.size() - 1 - from);
      const auto logits = model_.forward(tokens.subspan(from, n), state_, logits_for::all, run_);
      losses_.resize(n);
      run_.for_each(n, [&](std::size_t i) {
        losses_[i] = negative_log_likelihood({logits.row(i), logits.cols()}, tokens[from + i + 1]);
      });
      // Added in order, so that the sum does not depend on the threads.
      for (const double loss : losses_) sum_ += loss;
      n_scored_ += n;
      from += n;
    }
  }

  [[nodiscard]] perplexity_result result(const char* caller) const {
    const double mean = n_scored_ == 0 ? 0.0 : sum_ / static_cast<double>(n_scored_);
    if (!std::isfinite(mean)) {
      throw value_error(std::string(caller) + ": the model's logits are not finite");
    }
    return {mean, n_scored_};
  }

 private:
  using state_type = decltype(std::declval<const Model&>().start(1, 1));

  const Model& model_;
  const Executor& run_;
  state_type state_;
  std::vector<double> losses_;
  double sum_ = 0.0;
  std::size_t n_scored_ = 0;
};

/// Every token must be one, also those that are predicted and never shown.
template <class Model>
void require_tokens(const char* caller, const Model& model, std::span<const token_id> tokens) {
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] < 0 || static_cast<std::size_t>(tokens[i]) >= model.config().vocab_size) {
      throw argument_error(std::string(caller) + ": token " + std::to_string(tokens[i]) +
                           " at position " + std::to_string(i) + ", expected 0.." +
                           std::to_string(model.config().vocab_size - 1));
    }
  }
}

[[nodiscard]] inline std::size_t checked_context(const char* caller, std::size_t context,
                                                 std::size_t most) {
  if (context < 2 || context > most) {
    throw argument_error(std::string(caller) + ": context of " + std::to_string(context) +
                         " tokens, expected 2.." + std::to_string(most));
  }
  return context;
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Perplexity over the whole windows of a text; what is left at its end is not scored.
///
/// With `context` N, `score_from` N / 2 and BOS this is what `llama-perplexity -c N` computes: it
/// encodes the text with BOS first, cuts it into windows of N, puts BOS in the place of each
/// window's first token, and scores N / 2 - 1 predictions a window.
///
/// @param model        a `decoder`
/// @param tokens       the text
/// @param options      windows and what is scored
/// @param on_progress  called with (tokens done, tokens in all) after every window
/// @param run          who runs the pieces; the result does not depend on it
/// @throws qompose::argument_error if an option is wrong, an id is outside the vocabulary, or the
///         text is shorter than one window
/// @throws qompose::value_error if the model's logits are not finite
template <class Model, class OnProgress = ignore_progress, executor Executor = serial>
perplexity_result perplexity(const Model& model, std::span<const token_id> tokens,
                             const perplexity_options& options = {}, OnProgress&& on_progress = {},
                             const Executor& run = {}) {
  const char* const caller = "perplexity";
  const std::size_t most = model.config().seq_len;
  const std::size_t context = detail::checked_context(
      caller, options.context == 0 ? std::min<std::size_t>(512, most) : options.context, most);
  const std::size_t stride = options.stride == 0 ? context : options.stride;
  const std::size_t score_from = options.score_from.value_or(context / 2);
  if (score_from > context - 2) {
    throw argument_error("perplexity: score_from is " + std::to_string(score_from) +
                         ", expected at most context - 2, " + std::to_string(context - 2));
  }
  if (tokens.size() < context) {
    throw argument_error("perplexity: the text has " + std::to_string(tokens.size()) +
                         " tokens, expected a window of " + std::to_string(context) + " or more");
  }
  detail::require_tokens(caller, model, tokens);
  if (options.bos_id) {
    detail::require_tokens("perplexity: bos_id", model, std::span(&*options.bos_id, 1));
  }

  detail::scorer<Model, Executor> scorer(model, context, options.max_batch, run);
  const std::size_t windows = 1 + (tokens.size() - context) / stride;
  std::vector<token_id> window(context);
  for (std::size_t i = 0; i < windows; ++i) {
    const auto source = tokens.subspan(i * stride, context);
    std::copy(source.begin(), source.end(), window.begin());
    if (options.bos_id) window.front() = *options.bos_id;
    scorer.score(window, score_from);
    on_progress((i + 1) * context, windows * context);
  }
  return scorer.result(caller);
}

/// Perplexity over sequences of tokens, each with a fresh cache; the mean is over all scored tokens
/// of all sequences together.
///
/// @param model        a `decoder`
/// @param sequences    each begins with BOS where the model expects it; those of fewer than
///                     `score_from` + 2 tokens add nothing
/// @param options      where to cut, what is scored
/// @param on_progress  called with (tokens done, tokens in all) after every sequence
/// @param run          who runs the pieces; the result does not depend on it
/// @throws qompose::argument_error if an option is wrong, an id is outside the vocabulary, or
///         nothing is scored
/// @throws qompose::value_error if the model's logits are not finite
template <class Model, class OnProgress = ignore_progress, executor Executor = serial>
perplexity_result sequence_perplexity(const Model& model,
                                      std::span<const std::vector<token_id>> sequences,
                                      const sequence_options& options = {},
                                      OnProgress&& on_progress = {}, const Executor& run = {}) {
  const char* const caller = "sequence_perplexity";
  const std::size_t most = model.config().seq_len;
  const std::size_t context =
      detail::checked_context(caller, options.context == 0 ? most : options.context, most);
  const auto cut = [&](const std::vector<token_id>& sequence) {
    return std::span(sequence).first(std::min(sequence.size(), context));
  };
  std::size_t total = 0;
  for (const auto& sequence : sequences) {
    detail::require_tokens(caller, model, cut(sequence));
    total += cut(sequence).size();
  }

  detail::scorer<Model, Executor> scorer(model, context, options.max_batch, run);
  std::size_t done = 0;
  for (const auto& sequence : sequences) {
    scorer.score(cut(sequence), options.score_from);
    done += cut(sequence).size();
    on_progress(done, total);
  }
  const perplexity_result result = scorer.result(caller);
  if (result.n_scored == 0) {
    throw argument_error("sequence_perplexity: no sequence has the " +
                         std::to_string(options.score_from + 2) +
                         " tokens that a prediction to be scored needs");
  }
  return result;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
