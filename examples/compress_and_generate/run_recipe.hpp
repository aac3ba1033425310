// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What is done with one recipe; for the files that instantiate it.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "job.hpp"
#include "progress.hpp"
#include "qompose/compress/calibrated.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/generate.hpp"
#include "qompose/decoder/perplexity.hpp"
#include "qompose/decoder/with_cache.hpp"
#include "recipes.hpp"

namespace demo {

/// Seconds that a call takes.
template <class Call>
double seconds(const Call& call) {
  using clock = std::chrono::steady_clock;
  const auto start = clock::now();
  call();
  return std::chrono::duration<double>(clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <class Recipe>
qp::decoder<Recipe> compress(job& job, bool is_last) {
  progress shown(std::string(Recipe::name) + ": compressing");
  using rule = std::remove_cv_t<decltype(Recipe::rule)>;
  const qp::compress_options<rule> options{
      Recipe::rule, [&](std::size_t done, std::size_t total) { shown.update(done, total); }};
  const bool is_baseline = std::is_same_v<Recipe, f32>;
  qp::decoder<Recipe> model =
      qp::compress_model<Recipe>(is_baseline ? job.original : job.prepared, options, job.run);
  if (is_last) job.prepared.moments = {};
  return model;
}

template <class Model>
qp::perplexity_result score(const Model& model, const job& job, const std::string& name) {
  progress shown(name + ": perplexity");
  const auto update = [&](std::size_t done, std::size_t total) { shown.update(done, total); };
  const evaluation& e = job.scored;
  return e.by_line
             ? qp::sequence_perplexity(model, std::span(e.lines), e.line_options, update, job.run)
             : qp::perplexity(model, e.tokens, e.window_options, update, job.run);
}

/// Tokens a second of a prompt that passes the model at once.
template <class Model>
double prompt_speed(const Model& model, const job& job) {
  const std::size_t n = std::min(benchmark::prompt_tokens, job.context);
  const std::vector<qp::token_id> tokens = job.scored.sample(n);
  auto state = model.start(n);
  std::vector<double> times;
  for (std::size_t i = 0; i < benchmark::prompt_runs; ++i) {
    state.truncate(0);
    times.push_back(seconds([&] { model.forward(tokens, state, qp::logits_for::last, job.run); }));
  }
  return static_cast<double>(n) / median(times);
}

/// Tokens a second of n tokens that follow a first one greedily.
template <class Model, class State>
double next_tokens_speed(const Model& model, State& state, qp::token_id first, std::size_t n,
                         const job& job) {
  qp::sampler choose(qp::sampling_options{});
  qp::token_id next = first;
  std::vector<double> times;
  for (std::size_t i = 0; i < n; ++i) {
    times.push_back(seconds([&] {
      const auto logits = model.forward(std::span(&next, 1), state, qp::logits_for::last, job.run);
      next = choose({logits.data(), logits.cols()}, {});
    }));
  }
  return 1.0 / median(times);
}

/// Tokens a second of a text that is generated one token at a time.
template <class Model>
double generated_speed(const Model& model, const job& job) {
  const std::size_t first = std::min(benchmark::start_tokens, job.context / 2);
  const std::size_t n = std::min(benchmark::generated_tokens, job.context - first);
  auto state = model.start(first + n);
  const std::vector<qp::token_id> tokens = job.scored.sample(first + 1);
  model.forward(std::span(tokens).first(first), state, qp::logits_for::last, job.run);
  return next_tokens_speed(model, state, tokens.back(), n, job);
}

/// The same after `depth` tokens. These are random keys and values, so that the time does not have
/// to be waited for in which the model reads a long text, which may be longer than any that it was
/// trained for.
template <class Model>
double speed_at_depth(const Model& model, const cache_kind& cache, std::size_t depth,
                      const job& job) {
  const qp::decoder_config& config = model.config();
  constexpr std::size_t batch = 256;
  const std::size_t context = depth + benchmark::tokens_at_depth;
  qp::session<qp::any_cache> state(config, context, batch,
                                   cache.choice.make(config, context, batch, nullptr));
  const std::size_t width = config.n_kv_heads * config.head_dim;
  std::mt19937 bits;
  std::normal_distribution<float> normal;
  std::vector<float> rows(batch * width);
  for (float& x : rows) x = normal(bits);
  for (std::size_t done = 0; done < depth; done += batch) {
    const qp::matrix_view<const float> some(rows.data(), std::min(batch, depth - done), width);
    for (qp::any_cache& layer : state.caches) layer.append(some, some);
    state.advance(some.rows());
  }
  return next_tokens_speed(model, state, job.scored.sample(1)[0], benchmark::tokens_at_depth, job);
}

template <class Recipe>
measurement measure_with(const qp::decoder<Recipe>& model, const cache_kind& cache, job& job) {
  const qp::decoder_config& config = model.config();
  const qp::with_cache cached(model, cache.choice);
  measurement row;
  row.recipe = Recipe::name;
  row.cache = cache.name;
  row.storage_bytes = model.storage_bytes();
  row.bits_per_weight =
      8.0 * static_cast<double>(model.storage_bytes()) / static_cast<double>(model.parameters());
  row.cache_bytes =
      static_cast<std::size_t>(static_cast<double>(config.n_layers) *
                               cache.choice.bytes_per_token(config.n_kv_heads, config.head_dim));
  row.prompt_speed = prompt_speed(cached, job);
  row.generated_speed = generated_speed(cached, job);
  for (const std::size_t depth : job.depths) {
    row.depth_speeds.push_back(speed_at_depth(model, cache, depth, job));
  }
  const qp::perplexity_result quality =
      score(cached, job, std::string(Recipe::name) + ", " + std::string(cache.name));
  row.mean_nll = quality.mean_nll;
  row.perplexity = quality.perplexity();
  return row;
}

template <class Recipe>
void measure(job& job, std::span<const cache_kind* const> caches, bool is_last,
             const on_row& callback) {
  const qp::decoder<Recipe> model = compress<Recipe>(job, is_last);
  for (const cache_kind* cache : caches) callback(measure_with(model, *cache, job));
}

template <class Recipe>
std::vector<qp::token_id> generate_text(job& job, const cache_kind& cache,
                                        const on_token& callback) {
  qp::generate_options options;
  options.max_tokens = job.max_tokens;
  options.sampling = job.sampling;
  options.context = job.context;
  const qp::decoder<Recipe> model = compress<Recipe>(job, true);
  return qp::generate(qp::with_cache(model, cache.choice), std::span(job.prompt), options, callback,
                      job.run);
}

}  // namespace demo
