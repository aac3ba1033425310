// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Logits to the next token: greedy, or a seeded draw from what the filters leave.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "qompose/core/error.hpp"
#include "qompose/core/random.hpp"
#include "qompose/core/token.hpp"

namespace qompose {

/// How the next token is chosen. The defaults are greedy; with a temperature and no filter a token
/// is drawn from the whole distribution.
struct sampling_options {
  float temperature = 0.0f;         ///< >= 0; 0 takes the likeliest token, the lowest id on ties
  int top_k = 0;                    ///< >= 0; keep the k likeliest tokens; 0 keeps all
  float top_p = 1.0f;               ///< in (0, 1]; keep the likeliest tokens that reach this sum
  float min_p = 0.0f;               ///< in [0, 1]; drop tokens below this share of the likeliest
  float repetition_penalty = 1.0f;  ///< > 0; above 1, tokens seen lately become less likely
  std::uint64_t seed = 0;           ///< of the draws
};

/// Chooses tokens one after another; the state is that of its random numbers.
///
/// The steps and their order are those usual in llama.cpp: repetition penalty, top-k, top-p, min-p,
/// temperature, draw. Each filter looks at the probabilities that the one before it left,
/// normalized again, and all of them at those of temperature 1. The same seed and logits give the
/// same tokens with every standard library.
///
/// @par Source
/// top-p: Holtzman et al., "The Curious Case of Neural Text Degeneration", ICLR 2020,
/// arXiv:1904.09751; min-p: Nguyen et al., "Turning Up the Heat", 2024, arXiv:2407.01082;
/// penalty: Keskar et al., "CTRL", 2019, arXiv:1909.05858, section 4.1.
class sampler {
 public:
  /// Tokens at the end of the history that the repetition penalty looks at.
  static constexpr std::size_t penalty_window = 64;

  /// @throws qompose::argument_error naming an option outside its range
  explicit sampler(const sampling_options& options) : options_(options), random_(options.seed) {
    require(std::isfinite(options.temperature) && options.temperature >= 0.0f, "temperature",
            options.temperature, "0 or a positive number");
    require(options.top_k >= 0, "top_k", options.top_k, "0 or a positive number");
    require(options.top_p > 0.0f && options.top_p <= 1.0f, "top_p", options.top_p,
            "a number above 0 and up to 1");
    require(options.min_p >= 0.0f && options.min_p <= 1.0f, "min_p", options.min_p,
            "a number from 0 to 1");
    require(std::isfinite(options.repetition_penalty) && options.repetition_penalty > 0.0f,
            "repetition_penalty", options.repetition_penalty, "a positive number");
  }

  /// The next token.
  ///
  /// @param logits   [vocab_size], at least one; -infinity bars a token
  /// @param history  the tokens so far, prompt included; only the last `penalty_window` matter, and
  ///                 those only for the penalty
  /// @throws qompose::value_error at a NaN or +infinity, naming its position, or if all logits are
  ///         -infinity
  /// @throws qompose::argument_error if there are no logits, or if the history has an id outside
  ///         the vocabulary
  /// @par Cost  O(vocab_size), with top-k O(vocab_size log k); no allocation after the first call
  token_id operator()(std::span<const float> logits, std::span<const token_id> history) {
    load(logits);
    if (options_.repetition_penalty != 1.0f) penalize(history);
    if (options_.temperature == 0.0f) {
      return std::min_element(candidates_.begin(), candidates_.end(), likelier)->id;
    }
    std::span<candidate> kept(candidates_);
    kept = keep_top_k(kept);
    kept = keep_top_p(kept);
    kept = keep_min_p(kept);
    return draw(kept);
  }

 private:
  struct candidate {
    float logit;
    token_id id;
  };

  /// A total order, so that ties never depend on the standard library's algorithms.
  static bool likelier(const candidate& a, const candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
  }

  template <class Value>
  static void require(bool holds, const char* name, Value value, const char* wanted) {
    if (!holds) {
      throw argument_error("sampler: " + std::string(name) + " is " + std::to_string(value) +
                           ", expected " + wanted);
    }
  }

  void load(std::span<const float> logits) {
    if (logits.empty()) throw argument_error("sampler: no logits, expected one a token");
    candidates_.resize(logits.size());
    bool any = false;
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const float logit = logits[i];
      if (std::isnan(logit) || logit == std::numeric_limits<float>::infinity()) {
        throw value_error("sampler: the logit of token " + std::to_string(i) + " is " +
                          std::to_string(logit));
      }
      any = any || std::isfinite(logit);
      candidates_[i] = {logit, static_cast<token_id>(i)};
    }
    if (!any) throw value_error("sampler: all logits are -infinity");
  }

  void penalize(std::span<const token_id> history) {
    const auto recent = history.last(std::min(history.size(), penalty_window));
    for (auto it = recent.begin(); it != recent.end(); ++it) {
      if (*it < 0 || static_cast<std::size_t>(*it) >= candidates_.size()) {
        throw argument_error("sampler: token " + std::to_string(*it) + " in the history, " +
                             "expected 0 to " + std::to_string(candidates_.size() - 1));
      }
      if (std::find(recent.begin(), it, *it) != it) continue;  // once, however often it was seen
      float& logit = candidates_[static_cast<std::size_t>(*it)].logit;
      logit =
          logit > 0.0f ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
    }
  }

  /// The k likeliest, likeliest first.
  std::span<candidate> keep_top_k(std::span<candidate> from) const {
    const auto k = static_cast<std::size_t>(options_.top_k);
    if (k == 0 || k >= from.size()) return from;
    std::partial_sort(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(k), from.end(),
                      likelier);
    return from.first(k);
  }

  /// The fewest of the likeliest whose probabilities reach top_p. A heap, because a handful out of
  /// a large vocabulary is the rule.
  std::span<candidate> keep_top_p(std::span<candidate> from) const {
    if (options_.top_p == 1.0f) return from;
    const float most = largest(from);
    double total = 0.0;
    for (const candidate& c : from) total += weight(c, most, 1.0f);

    const auto less_likely = [](const candidate& a, const candidate& b) { return likelier(b, a); };
    std::make_heap(from.begin(), from.end(), less_likely);
    double reached = 0.0;
    std::size_t rest = from.size();
    while (rest > 0 && reached < static_cast<double>(options_.top_p) * total) {
      std::pop_heap(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(rest), less_likely);
      reached += weight(from[--rest], most, 1.0f);
    }
    return from.subspan(rest);
  }

  std::span<candidate> keep_min_p(std::span<candidate> from) const {
    if (options_.min_p == 0.0f) return from;
    const float threshold = largest(from) + std::log(options_.min_p);
    const auto end = std::remove_if(from.begin(), from.end(),
                                    [&](const candidate& c) { return c.logit < threshold; });
    return from.first(static_cast<std::size_t>(end - from.begin()));
  }

  token_id draw(std::span<const candidate> from) {
    const float most = largest(from);
    double total = 0.0;
    for (const candidate& c : from) total += weight(c, most, options_.temperature);
    double left = random_.uniform() * total;
    token_id last = from.front().id;
    for (const candidate& c : from) {
      const double share = weight(c, most, options_.temperature);
      if (share == 0.0) continue;
      if (left < share) return c.id;
      left -= share;
      last = c.id;
    }
    return last;  // rounding ate the end of the interval
  }

  static float largest(std::span<const candidate> from) {
    return std::min_element(from.begin(), from.end(), likelier)->logit;
  }
  static double weight(const candidate& c, float most, float temperature) {
    return std::exp((static_cast<double>(c.logit) - static_cast<double>(most)) /
                    static_cast<double>(temperature));
  }

  sampling_options options_;
  random_source random_;
  std::vector<candidate> candidates_;
};

}  // namespace qompose
