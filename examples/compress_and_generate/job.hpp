// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What is done with every recipe, and what comes out.

#include <cstddef>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "caches.hpp"
#include "evaluation.hpp"
#include "qompose/compress/calibrated.hpp"
#include "qompose/core/token.hpp"
#include "qompose/decoder/sampling.hpp"
#include "threads.hpp"

namespace demo {

namespace qp = qompose;

/// Everything that a recipe is run on.
struct job {
  qp::calibrated_model original;  ///< as in the file, not calibrated
  /// The same function, off the file's grid and calibrated where there is a tokenizer: what is
  /// compressed.
  qp::calibrated_model prepared;
  std::size_t calibration_tokens = 0;  ///< 0 where nothing was calibrated
  evaluation scored;
  std::vector<qp::token_id> prompt;  ///< what the text continues; empty when none is wanted
  std::size_t max_tokens = 0;
  std::size_t context = 0;          ///< the most tokens that prompt and text may have together
  std::vector<std::size_t> depths;  ///< tokens before the ones that are timed once more
  qp::sampling_options sampling;
  threads run;
};

/// One row of the table.
struct measurement {
  std::string_view recipe;
  std::string_view cache;
  std::size_t storage_bytes = 0;
  double bits_per_weight = 0;
  double mean_nll = 0;
  double perplexity = 0;
  double prompt_speed = 0;           ///< tokens a second
  double generated_speed = 0;        ///< tokens a second
  std::size_t cache_bytes = 0;       ///< a token
  std::vector<double> depth_speeds;  ///< tokens a second, as generated_speed, at each depth
};

/// How speeds are measured.
struct benchmark {
  static constexpr std::size_t prompt_tokens =
      512;  ///< at once; fewer where the context is shorter
  static constexpr std::size_t prompt_runs = 3;
  static constexpr std::size_t start_tokens = 8;  ///< before the first generated one
  static constexpr std::size_t generated_tokens = 64;
  static constexpr std::size_t tokens_at_depth = 16;
};

/// Called with each token; returns false to stop.
using on_token = std::function<bool(qp::token_id)>;

/// Called with each row as soon as it is there.
using on_row = std::function<void(const measurement&)>;

/// Compresses once, and scores and times with every cache. Instantiated in recipe_<name>.cpp.
/// @param is_last  nothing is compressed afterwards: what only calibration needs is dropped
template <class Recipe>
void measure(job& job, std::span<const cache_kind* const> caches, bool is_last,
             const on_row& callback);

/// Compresses, for the last time, and continues the prompt; returns the new tokens. Instantiated in
/// recipe_<name>.cpp.
template <class Recipe>
std::vector<qp::token_id> generate_text(job& job, const cache_kind& cache,
                                        const on_token& callback);

}  // namespace demo
