// SPDX-License-Identifier: Apache-2.0

#include "table.hpp"

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "caches.hpp"
#include "qompose/core/error.hpp"
#include "recipes.hpp"

namespace demo {
namespace {

std::string number(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

/// Large perplexities need no decimals, small ones do.
std::string perplexity_text(double value) {
  char text[64];
  std::snprintf(text, sizeof text, value < 1e6 ? "%.*f" : "%.*e", value < 1000.0 ? 3 : 1, value);
  return text;
}

std::string share(double value, const std::optional<double>& of, int decimals,
                  const std::string& suffix) {
  return of ? number(value / *of, decimals) + suffix : "-";
}

constexpr std::string_view headers[] = {
    "recipe", "cache",        "bits/weight",     "MB",    "perplexity",
    "ratio",  "prompt tok/s", "generated tok/s", "speed", "cache B/token"};
/// The first ones are names, to the left.
constexpr std::size_t n_names = 2;

double megabytes(std::size_t bytes) { return static_cast<double>(bytes) * 1e-6; }

}  // namespace

table::table(const std::vector<std::string>& recipes, const std::vector<std::string>& caches,
             const std::vector<std::size_t>& depths) {
  std::vector<std::string> cells;
  for (const std::string_view header : headers) {
    cells.emplace_back(header);
    widths_.push_back(header.size());
  }
  for (const std::string& name : recipes) widths_[0] = std::max(widths_[0], name.size());
  for (const std::string& name : caches) widths_[1] = std::max(widths_[1], name.size());
  widths_[3] = 7;
  for (const std::size_t depth : depths) {
    cells.push_back("at " + std::to_string(depth));
    widths_.push_back(std::max<std::size_t>(cells.back().size(), 7));
  }
  print_line(cells);
  std::string rule;
  for (const std::size_t width : widths_) rule += std::string(width, '-') + "  ";
  rule.resize(rule.size() - 2);
  std::printf("%s\n", rule.c_str());
  std::fflush(stdout);
}

void table::print(const measurement& row, const std::optional<measurement>& baseline) const {
  std::optional<double> perplexity;
  std::optional<double> speed;
  if (baseline) {
    perplexity = baseline->perplexity;
    speed = baseline->generated_speed;
  }
  std::vector<std::string> cells = {std::string(row.recipe),
                                    std::string(row.cache),
                                    number(row.bits_per_weight, 3),
                                    number(megabytes(row.storage_bytes), 1),
                                    perplexity_text(row.perplexity),
                                    share(row.perplexity, perplexity, 4, ""),
                                    number(row.prompt_speed, 1),
                                    number(row.generated_speed, 1),
                                    share(row.generated_speed, speed, 2, "x"),
                                    std::to_string(row.cache_bytes)};
  for (const double at_depth : row.depth_speeds) cells.push_back(number(at_depth, 1));
  print_line(cells);
}

/// Names to the left, numbers to the right.
void table::print_line(const std::vector<std::string>& cells) const {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string space(widths_[i] - std::min(widths_[i], cells[i].size()), ' ');
    line += (i == 0 ? "" : "  ") + (i < n_names ? cells[i] + space : space + cells[i]);
  }
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

csv_file::csv_file(const std::filesystem::path& path, const std::vector<std::size_t>& depths)
    : path_(path), file_(path) {
  file_ << "recipe,cache,bits_per_weight,megabytes,mean_nll,perplexity,perplexity_ratio,"
           "prompt_tokens_per_second,generated_tokens_per_second,speed_ratio,"
           "cache_bytes_per_token";
  for (const std::size_t depth : depths) file_ << ",generated_tokens_per_second_at_" << depth;
  finish_line();
}

void csv_file::write(const measurement& row, const std::optional<measurement>& baseline) {
  file_ << row.recipe << ',' << row.cache << ',' << number(row.bits_per_weight, 6) << ','
        << number(megabytes(row.storage_bytes), 6) << ',' << number(row.mean_nll, 10) << ','
        << number(row.perplexity, 8) << ',';
  if (baseline) file_ << number(row.perplexity / baseline->perplexity, 8);
  file_ << ',' << number(row.prompt_speed, 3) << ',' << number(row.generated_speed, 3) << ',';
  if (baseline) file_ << number(row.generated_speed / baseline->generated_speed, 4);
  file_ << ',' << row.cache_bytes;
  for (const double at_depth : row.depth_speeds) file_ << ',' << number(at_depth, 3);
  finish_line();
}

void csv_file::finish_line() {
  file_ << '\n' << std::flush;
  if (!file_) throw qp::file_error(path_.string() + ": cannot be written");
}

void print_footnotes(const job& job) {
  const std::size_t prompt = std::min(benchmark::prompt_tokens, job.context);
  std::printf(
      "\n"
      "bits/weight, MB   all stored bytes, embedding, scales and padding included\n"
      "perplexity        %s\n"
      "prompt tok/s      %zu tokens at once, median of %zu runs\n"
      "generated tok/s   one token after another, median of up to %zu; speed: against f32\n"
      "cache B/token     keys and values of all layers%s\n"
      "source            %s\n"
      "                  before the matrices are compressed, the norms' gains are folded into "
      "them\n"
      "                  and units rescaled by seeded factors, which takes them off the file's "
      "grid\n"
      "method            %s\n",
      job.scored.description.c_str(), prompt, benchmark::prompt_runs, benchmark::generated_tokens,
      job.depths.empty() ? "" : "; at N: generated tok/s after N tokens of random keys and values",
      job.original.weights.source_precision.c_str(),
      job.calibration_tokens > 0
          ? ("balanced inputs and GPTQ, calibrated on " + std::to_string(job.calibration_tokens) +
             " tokens of built-in text")
                .c_str()
          : "rounding alone: without a tokenizer there is no text to calibrate on");
  std::fflush(stdout);
}

void print_list() {
  std::printf("%-18s  %11s  %9s  %s\n", "recipe", "bits/weight", "head bits", "what");
  for_each_recipe(all_recipes{}, []<class Recipe>() {
    std::printf("%-18s  %11.3f  %9.3f  %s\n", Recipe::name.data(),
                matrix_bits<typename Recipe::ffn_in>(), matrix_bits<typename Recipe::head>(),
                Recipe::summary.data());
  });
  std::printf("\nBits of large matrices; the table has those of a whole model.\n");
  std::printf("\n%-18s  %12s  %s\n", "cache (--kv)", "bits/element", "what");
  for (const cache_kind& kind : all_caches()) {
    constexpr std::size_t head_dim = 128;
    std::printf("%-18s  %12.3f  %s\n", kind.name.data(),
                8.0 * kind.choice.bytes_per_token(1, head_dim) / (2 * head_dim),
                kind.summary.data());
  }
  std::printf(
      "\nBits of heads of 128 elements, scales included; every recipe runs with every one.\n");
}

}  // namespace demo
