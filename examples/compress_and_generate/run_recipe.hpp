// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What is done with one recipe; for the files that instantiate it.

#include <algorithm>
#include <chrono>
#include <cstddef>
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

template <class Recipe>
qp::perplexity_result score(const qp::decoder<Recipe>& model, const job& job) {
  progress shown(std::string(Recipe::name) + ": perplexity");
  const auto update = [&](std::size_t done, std::size_t total) { shown.update(done, total); };
  const evaluation& e = job.scored;
  return e.by_line
             ? qp::sequence_perplexity(model, std::span(e.lines), e.line_options, update, job.run)
             : qp::perplexity(model, e.tokens, e.window_options, update, job.run);
}

/// Tokens a second of a prompt that passes the model at once.
template <class Recipe>
double prompt_speed(const qp::decoder<Recipe>& model, const job& job) {
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

/// Tokens a second of a text that is generated greedily, one token at a time.
template <class Recipe>
double generated_speed(const qp::decoder<Recipe>& model, const job& job) {
  const std::size_t first = std::min(benchmark::start_tokens, job.context / 2);
  const std::size_t n = std::min(benchmark::generated_tokens, job.context - first);
  auto state = model.start(first + n);
  qp::sampler choose(qp::sampling_options{});
  auto logits = model.forward(job.scored.sample(first), state, qp::logits_for::last, job.run);
  std::vector<double> times;
  for (std::size_t i = 0; i < n; ++i) {
    times.push_back(seconds([&] {
      const qp::token_id next = choose({logits.data(), logits.cols()}, {});
      logits = model.forward(std::span(&next, 1), state, qp::logits_for::last, job.run);
    }));
  }
  return 1.0 / median(times);
}

template <class Recipe>
measurement measure(job& job, bool is_last) {
  const qp::decoder<Recipe> model = compress<Recipe>(job, is_last);
  const qp::decoder_config& config = model.config();
  measurement row;
  row.recipe = Recipe::name;
  row.storage_bytes = model.storage_bytes();
  row.bits_per_weight =
      8.0 * static_cast<double>(model.storage_bytes()) / static_cast<double>(model.parameters());
  row.cache_bytes =
      static_cast<std::size_t>(static_cast<double>(config.n_layers) *
                               Recipe::cache::bytes_per_token(config.n_kv_heads, config.head_dim));
  row.prompt_speed = prompt_speed(model, job);
  row.generated_speed = generated_speed(model, job);
  const qp::perplexity_result quality = score(model, job);
  row.mean_nll = quality.mean_nll;
  row.perplexity = quality.perplexity();
  return row;
}

template <class Recipe>
std::vector<qp::token_id> generate_text(job& job, const on_token& callback) {
  qp::generate_options options;
  options.max_tokens = job.max_tokens;
  options.sampling = job.sampling;
  options.context = job.context;
  return qp::generate(compress<Recipe>(job, true), std::span(job.prompt), options, callback,
                      job.run);
}

}  // namespace demo
