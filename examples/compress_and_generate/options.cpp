// SPDX-License-Identifier: Apache-2.0

#include "options.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <string_view>

#include "caches.hpp"
#include "recipes.hpp"
#include "threads.hpp"

namespace demo {
namespace {

std::string known_recipes() {
  std::string names;
  for_each_recipe(all_recipes{}, [&]<class Recipe>() {
    names += (names.empty() ? "" : ", ") + std::string(Recipe::name);
  });
  return names;
}

/// Each name once; the baseline first, because the other rows are compared with it.
/// @param is_known  (name) -> whether there is such a one
std::vector<std::string> checked_names(const std::vector<std::string>& names, const char* what,
                                       bool (*is_known)(const std::string&),
                                       const std::string& known) {
  std::vector<std::string> result;
  for (const std::string& name : names) {
    if (!is_known(name)) {
      throw usage_error("unknown " + std::string(what) + " '" + name + "'; there are " + known);
    }
    if (std::find(result.begin(), result.end(), name) == result.end()) result.push_back(name);
  }
  std::stable_partition(result.begin(), result.end(),
                        [](const std::string& name) { return name == "f32"; });
  return result;
}

bool is_recipe(const std::string& name) {
  return visit_recipe(name, []<class Recipe>() {});
}
bool is_cache(const std::string& name) { return find_cache(name) != nullptr; }

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::optional<options> parse_options(int argc, char** argv) {
  options o;
  o.threads = default_threads();
  std::string recipes(default_recipes);
  std::string caches(default_caches);
  bool no_generate = false;

  CLI::App app(
      "Compresses a model by several recipes, shows what each costs and gains, and generates text "
      "with the best small one.",
      "compress_and_generate");
  constexpr std::size_t most = std::numeric_limits<std::int32_t>::max();
  // The help would spell the ranges out.
  const auto count_from = [](std::size_t least) { return CLI::Range(least, most).description(""); };
  app.add_option("--model", o.model,
                 "GGUF file, folder with config.json and safetensors files, or llama2.c file")
      ->type_name("FILE-OR-DIR");
  app.add_option("--tokenizer", o.tokenizer,
                 "The model's tokenizer, where its file has none (llama2.c)")
      ->type_name("FILE");
  app.add_option("--recipes", recipes, "Comma-separated list; f32 is the uncompressed model")
      ->type_name("NAMES")
      ->capture_default_str();
  app.add_option("--kv", caches, "Comma-separated list of caches of keys and values; f32 is exact")
      ->type_name("NAMES")
      ->capture_default_str();
  app.add_option("--depths", o.depths,
                 "Comma-separated list, such as 512,2048,8192: after how many tokens to time "
                 "generation once more")
      ->type_name("LIST")
      ->delimiter(',')
      ->check(count_from(1));
  app.add_option("--prompt", o.prompt, "The beginning of the text")
      ->type_name("TEXT")
      ->capture_default_str();
  app.add_option("--tokens", o.tokens, "The most tokens to generate")
      ->type_name("N")
      ->check(count_from(0))
      ->capture_default_str();
  app.add_option("--temperature", o.temperature, "Of the draws; 0 takes the likeliest token")
      ->type_name("T")
      ->capture_default_str();
  app.add_option("--seed", o.seed, "Of the draws")->type_name("N")->capture_default_str();
  app.add_option("--threads", o.threads, "How many threads compute")
      ->type_name("N")
      ->check(CLI::Range(1, most_threads).description(""))
      ->capture_default_str();
  app.add_option("--context", o.context,
                 "Tokens a window of the scored text has (default: 512), and the most that prompt "
                 "and generated text have together (default: all that the model takes)")
      ->type_name("N")
      ->check(count_from(2));
  app.add_option("--score-from", o.score_from,
                 "Predictions made at earlier positions of a window are not scored (default: half "
                 "the window; with --ids 0)")
      ->type_name("K")
      ->check(count_from(0));
  auto* text = app.add_option("--text", o.text, "Text to score instead of the built-in one")
                   ->type_name("FILE");
  app.add_option("--ids", o.ids, "Token ids to score, one sequence a line, each cut to the context")
      ->type_name("FILE")
      ->excludes(text);
  app.add_flag("--print-ids", o.print_ids, "Print the generated token ids on one line, the last");
  app.add_flag("--no-generate", no_generate, "Only the table");
  app.add_flag("--list", o.list, "List all recipes and caches with their bits, and stop");
  app.add_option("--csv", o.csv, "Write the table to this file as well")->type_name("FILE");

  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::cout << app.help();
    return std::nullopt;
  } catch (const CLI::ParseError& wrong) {
    throw usage_error(one_line(wrong.what()));
  }
  o.generate = !no_generate;
  if (!std::isfinite(o.temperature) || o.temperature < 0) {
    throw usage_error("--temperature: " + std::to_string(o.temperature) +
                      ", expected 0 or a positive number");
  }
  o.recipes = checked_names(split(recipes), "recipe", is_recipe, known_recipes());
  o.caches = checked_names(split(caches), "cache", is_cache, known_caches());
  std::sort(o.depths.begin(), o.depths.end());
  o.depths.erase(std::unique(o.depths.begin(), o.depths.end()), o.depths.end());
  if (o.model.empty() && !o.list) {
    throw usage_error("--model is missing; scripts/demo fetches one and names it");
  }
  return o;
}

}  // namespace demo
