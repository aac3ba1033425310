// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Compresses a model by several recipes, prints what each costs and gains, and generates
///        text with the best small one.

#include <algorithm>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "caches.hpp"
#include "calibration_text.hpp"
#include "evaluation.hpp"
#include "job.hpp"
#include "options.hpp"
#include "qompose/core/error.hpp"
#include "qompose/decoder/load_model.hpp"
#include "qompose/decoder/rebalance.hpp"
#include "qompose/decoder/text_stream.hpp"
#include "qompose/io/tokenizer.hpp"
#include "qompose/kernels/kernels.hpp"
#include "recipes.hpp"
#include "table.hpp"

namespace demo {
namespace {

/// The tokenizer that was named or that comes with the model; none where nothing needs one.
std::optional<qp::tokenizer> find_tokenizer(const options& o, const qp::decoder_config& config) {
  std::filesystem::path path = o.tokenizer;
  if (path.empty()) {
    if (o.model.extension() == ".safetensors") {
      path = std::filesystem::absolute(o.model).parent_path();
    } else if (std::filesystem::is_directory(o.model) || qp::is_gguf(o.model)) {
      path = o.model;
    } else if (!o.generate && !o.ids.empty()) {
      return std::nullopt;
    } else {
      throw qp::argument_error(o.model.string() +
                               ": has no tokenizer inside; name one with --tokenizer");
    }
  }
  qp::tokenizer words = qp::load_tokenizer(path);
  if (words.vocab_size() > config.vocab_size) {
    throw qp::file_error(path.string() + ": has " + std::to_string(words.vocab_size()) +
                         " tokens, the model " + std::to_string(config.vocab_size));
  }
  return words;
}

std::vector<qp::token_id> encode_prompt(const std::string& prompt, const qp::tokenizer& words,
                                        const qp::decoder_config& config, std::size_t context) {
  std::vector<qp::token_id> tokens = words.encode(prompt);
  if (tokens.empty() && config.bos_id) tokens.push_back(*config.bos_id);
  if (tokens.empty()) throw qp::argument_error("--prompt: is empty and the model has no BOS token");
  if (tokens.size() > context) {
    throw qp::argument_error("--prompt: " + std::to_string(tokens.size()) +
                             " tokens, the context has " + std::to_string(context));
  }
  return tokens;
}

job make_job(const options& o, const std::optional<qp::tokenizer>& words,
             qp::model_weights weights) {
  job job;
  job.scored = make_evaluation(o, weights.config, words);
  job.context = o.context == 0 ? weights.config.seq_len : o.context;
  job.max_tokens = o.tokens;
  job.depths = o.depths;
  job.sampling.temperature = o.temperature;
  job.sampling.seed = o.seed;
  if (o.generate) job.prompt = encode_prompt(o.prompt, *words, weights.config, job.context);
  job.run = make_threads(o.threads);
  job.original = {std::move(weights), {}};
  job.prepared = job.original;
  qp::fold_norms(job.prepared.weights);
  qp::rescale_units(job.prepared.weights, 1);
  const bool has_small = std::any_of(o.recipes.begin(), o.recipes.end(),
                                     [](const std::string& name) { return name != f32::name; });
  if (words && has_small) {
    const std::vector<qp::token_id> text = words->encode(calibration_text);
    job.prepared = qp::calibrate(job.prepared.weights, std::span(text), job.run);
    job.calibration_tokens = text.size();
  } else {
    qp::balance_norms(job.prepared.weights);
  }
  return job;
}

void print_header(const options& o, const qp::model_weights& weights) {
  const std::filesystem::path path = std::filesystem::absolute(o.model).lexically_normal();
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  std::printf("%s: %.2f million parameters, %s; %d thread%s, %s\n\n", name.c_str(),
              static_cast<double>(weights.parameters()) * 1e-6, weights.source_precision.c_str(),
              o.threads, o.threads == 1 ? "" : "s", qp::target_name());
}

/// Gives freed memory back, so that one recipe's weights do not count against the next one's.
void release_memory() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

/// What the other rows are compared with.
bool is_baseline(const measurement& row) {
  return row.recipe == f32::name && row.cache == f32::name;
}

std::vector<measurement> measure_all(const options& o, job& job) {
  std::optional<csv_file> csv;  // before anything is printed, as it may fail
  if (!o.csv.empty()) csv.emplace(o.csv, o.depths);
  print_header(o, job.original.weights);
  const table shown(o.recipes, o.caches, o.depths);
  std::vector<const cache_kind*> caches;
  for (const std::string& name : o.caches) caches.push_back(find_cache(name));
  std::optional<measurement> baseline;
  std::vector<measurement> rows;
  const auto take = [&](const measurement& row) {
    if (rows.empty() && is_baseline(row)) baseline = row;
    rows.push_back(row);
    shown.print(row, baseline);
    if (csv) csv->write(row, baseline);
  };
  for (const std::string& name : o.recipes) {
    const bool is_last = !o.generate && name == o.recipes.back();
    visit_recipe(name, [&]<class Recipe>() { measure<Recipe>(job, caches, is_last, take); });
    release_memory();
  }
  return rows;
}

/// The fastest of the compressed recipes that stay within 10 % of the best perplexity: that of the
/// baseline, where it was measured.
measurement best_small(std::vector<measurement> rows) {
  const auto by_perplexity = [](const measurement& a, const measurement& b) {
    return a.perplexity < b.perplexity;
  };
  const bool has_baseline = is_baseline(rows.front());
  const double reference =
      has_baseline ? rows.front().perplexity
                   : std::min_element(rows.begin(), rows.end(), by_perplexity)->perplexity;
  if (has_baseline && rows.size() > 1) rows.erase(rows.begin());
  const measurement* best = nullptr;
  for (const measurement& row : rows) {
    const bool is_good = row.perplexity <= 1.1 * reference;
    if (is_good && (best == nullptr || row.generated_speed > best->generated_speed)) best = &row;
  }
  if (best == nullptr) best = &*std::min_element(rows.begin(), rows.end(), by_perplexity);
  return *best;
}

void generate_with(const measurement& best, const options& o, job& job,
                   const qp::tokenizer& words) {
  const std::string recipe(best.recipe);
  const cache_kind& cache = *find_cache(best.cache);
  std::printf("\n%s with the cache %s continues the prompt, ", recipe.c_str(), cache.name.data());
  if (o.temperature == 0) {
    std::printf("greedily:\n\n");
  } else {
    std::printf("at temperature %g, seed %llu:\n\n", static_cast<double>(o.temperature),
                static_cast<unsigned long long>(o.seed));
  }
  const auto show = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
  };
  show(o.prompt);
  qp::text_stream stream;
  const auto show_token = [&](qp::token_id id) {
    show(stream.push(words.piece(id)));
    return true;
  };
  std::vector<qp::token_id> ids;
  visit_recipe(recipe,
               [&]<class Recipe>() { ids = generate_text<Recipe>(job, cache, show_token); });
  show(stream.finish());
  show("\n");
  if (!o.print_ids) return;
  std::string line;
  for (const qp::token_id id : ids) line += (line.empty() ? "" : " ") + std::to_string(id);
  show("\n" + line + "\n");
}

void run(const options& o) {
  if (o.list) return print_list();
  qp::model_weights weights = qp::load_model(o.model);
  const std::optional<qp::tokenizer> words = find_tokenizer(o, weights.config);
  job job = make_job(o, words, std::move(weights));

  const std::vector<measurement> rows = measure_all(o, job);
  print_footnotes(job);
  if (o.generate) generate_with(best_small(rows), o, job, *words);
}

int fail(const char* message, int status) {
  std::fflush(stdout);
  std::fprintf(stderr, "compress_and_generate: %s\n", message);
  return status;
}

}  // namespace
}  // namespace demo

int main(int argc, char** argv) {
  try {
    if (const auto options = demo::parse_options(argc, argv)) demo::run(*options);
    return 0;
  } catch (const demo::usage_error& wrong) {
    return demo::fail(wrong.what(), 2);
  } catch (const qompose::error& wrong) {
    return demo::fail(wrong.what(), 2);
  } catch (const std::exception& failure) {
    return demo::fail(failure.what(), 1);
  }
}
