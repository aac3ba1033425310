// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief A whole model of 1.1 billion random parameters at 4 bits: speed of prompt and generation,
/// and peak memory.

#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "limits.hpp"
#include "qompose/core/random.hpp"
#include "qompose/core/thread_pool.hpp"
#include "qompose/decoder/compress_model.hpp"
#include "qompose/decoder/model_recipe.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/presets.hpp"

namespace {

namespace qp = qompose;
namespace qb = qompose_bench;

using w4_progressive_a8 = qp::recipe<qp::weight<qp::w4_progressive>, qp::activation<qp::a8_token>>;

/// Weights that no memory holds: a block of 512 is eight bytes, from which a generator starts.
constexpr std::size_t seeded_block = 512;

void decode_seeds(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t b = 0; b < n_blocks; ++b) {
    qp::random_source random(qp::load_unaligned<std::uint64_t>(blocks + 8 * b));
    for (std::size_t i = 0; i < seeded_block; ++i) {
      // Within +-0.03, as trained weights of this width are.
      *out++ = static_cast<float>(0.06 * random.uniform() - 0.03);
    }
  }
}

constexpr qp::tensor_encoding seeded{"seeds", seeded_block, 8, &decode_seeds};

/// A model whose weights come from seeds; the matrices share the table.
class seeded_model {
 public:
  explicit seeded_model(std::size_t n_layers) {
    qp::decoder_config& c = weights_.config;
    c.architecture = "llama";
    c.dim = 2048;
    c.hidden_dim = 5632;
    c.n_layers = n_layers;
    c.n_heads = 32;
    c.n_kv_heads = 4;
    c.head_dim = 64;
    c.vocab_size = 32000;
    c.seq_len = 2048;
    seeds_.resize(c.vocab_size * c.dim / seeded_block);
    qp::random_source random(1);
    for (std::uint64_t& seed : seeds_) seed = random.bits();

    const std::size_t kv = c.n_kv_heads * c.head_dim;
    const std::vector<float> ones(c.dim, 1.0f);
    for (std::size_t i = 0; i < n_layers; ++i) {
      qp::layer_weights layer;
      layer.q_proj = matrix("q_proj", c.dim, c.dim);
      layer.k_proj = matrix("k_proj", kv, c.dim);
      layer.v_proj = matrix("v_proj", kv, c.dim);
      layer.o_proj = matrix("o_proj", c.dim, c.dim);
      layer.gate_proj = matrix("gate_proj", c.hidden_dim, c.dim);
      layer.up_proj = matrix("up_proj", c.hidden_dim, c.dim);
      layer.down_proj = matrix("down_proj", c.dim, c.hidden_dim);
      layer.attention_norm = ones;
      layer.ffn_norm = ones;
      weights_.layers.push_back(std::move(layer));
    }
    weights_.embedding = matrix("embedding", c.vocab_size, c.dim);
    weights_.head = matrix("head", c.vocab_size, c.dim);
    weights_.final_norm = ones;
    weights_.source_precision = "random";
  }
  seeded_model(const seeded_model&) = delete;
  seeded_model& operator=(const seeded_model&) = delete;

  [[nodiscard]] const qp::model_weights& weights() const { return weights_; }

 private:
  [[nodiscard]] qp::weight_source matrix(std::string name, std::size_t rows,
                                         std::size_t cols) const {
    qp::weight_source source;
    source.name = std::move(name);
    source.rows = rows;
    source.cols = cols;
    source.encoding = &seeded;
    source.bytes = std::as_bytes(std::span(seeds_)).first(rows * cols / seeded_block * 8);
    return source;
  }

  std::vector<std::uint64_t> seeds_;
  qp::model_weights weights_;
};

struct options {
  std::string recipe = "w4a8_g32";
  std::size_t layers = 22;
  std::size_t threads = 1;
  std::size_t prompt = 512;
  std::size_t generated = 64;
  std::string json;
};

struct figures {
  double parameters = 0.0;
  double storage_bytes = 0.0;       ///< of the packed model
  double token_bytes = 0.0;         ///< of weights that one generated token reads
  double cache_bytes = 0.0;         ///< of keys and values
  double peak_bytes = 0.0;          ///< resident, at most
  double prompt_speed = 0.0;        ///< tokens a second
  double generation_speed = 0.0;    ///< tokens a second
  double read_bandwidth = 0.0;      ///< bytes a second
  double share_of_bandwidth = 0.0;  ///< of the generation, median of shares

  /// Peak without the cache, over the packed model.
  [[nodiscard]] double overhead() const { return (peak_bytes - cache_bytes) / storage_bytes; }
};

/// The most memory that this program has had in RAM, in bytes.
double peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

template <class Run>
double seconds_of(const Run& run, clockid_t clock) {
  const double start = qb::seconds(clock);
  run();
  return qb::seconds(clock) - start;
}

template <class LinearRecipe>
figures measure(const options& o) {
  using recipe = qp::uniform_model<LinearRecipe>;
  const qp::thread_pool run(o.threads);
  const seeded_model source(o.layers);
  const qp::decoder<recipe> model = qp::compress_model<recipe>(source.weights(), {}, run);
  const qp::decoder_config& config = model.config();

  figures f;
  f.parameters = static_cast<double>(model.parameters());
  f.storage_bytes = static_cast<double>(model.storage_bytes());
  double blocks = 0.0;
  for (const auto& block : model.blocks()) blocks += static_cast<double>(block.storage_bytes());
  // Head and embedding are stored alike; of the embedding a token reads one row.
  f.token_bytes = blocks + (f.storage_bytes - blocks) / 2.0;
  const std::size_t context = o.prompt + o.generated;
  f.cache_bytes =
      static_cast<double>(context * config.n_layers) *
      static_cast<double>(recipe::cache::bytes_per_token(config.n_kv_heads, config.head_dim));

  std::vector<qp::token_id> prompt(o.prompt);
  qp::random_source random(2);
  for (qp::token_id& id : prompt) {
    id = static_cast<qp::token_id>(random.bits() % config.vocab_size);
  }
  const clockid_t clock = qb::clock_of(o.threads);
  auto state = model.start(context);
  std::vector<double> prompt_times;
  for (int i = 0; i < 3; ++i) {
    state.truncate(0);
    prompt_times.push_back(
        seconds_of([&] { (void)model.forward(prompt, state, qp::logits_for::last, run); }, clock));
  }
  f.prompt_speed = static_cast<double>(o.prompt) / qb::median(prompt_times);
  const auto generate = [&] {
    const qp::token_id next = prompt[state.length() % prompt.size()];
    return seconds_of(
        [&] { (void)model.forward(std::span(&next, 1), state, qp::logits_for::last, run); }, clock);
  };
  (void)generate();
  f.peak_bytes = peak_memory();  // before the memory that the limit is measured in

  // Between slices of tokens the limit, as others use the memory too.
  constexpr std::size_t slice = 8;
  std::vector<double> token_times;
  std::vector<double> bandwidths;
  std::vector<double> shares;
  for (std::size_t done = 1; done + slice <= o.generated; done += slice) {
    const double bandwidth = qb::read_limit(qb::cold_bytes(), o.threads).per_second;
    std::vector<double> times;
    for (std::size_t i = 0; i < slice; ++i) times.push_back(generate());
    bandwidths.push_back(bandwidth);
    shares.push_back(f.token_bytes / qb::median(times) / bandwidth);
    token_times.insert(token_times.end(), times.begin(), times.end());
  }
  f.generation_speed = 1.0 / qb::median(token_times);
  f.read_bandwidth = qb::median(bandwidths);
  f.share_of_bandwidth = qb::median(shares);
  return f;
}

/// What a name of `--recipe` measures.
struct known_recipe {
  const char* name;
  figures (*run)(const options&);
};
constexpr known_recipe known_recipes[] = {{"w4a8_g32", &measure<qp::w4a8_g32>},
                                          {"w4a8_g128", &measure<qp::w4a8_g128>},
                                          {"w4_progressive_a8", &measure<w4_progressive_a8>}};

void print(const options& o, const figures& f) {
  std::printf("%.2f billion parameters, %s, %zu thread%s, %s\n", f.parameters * 1e-9,
              o.recipe.c_str(), o.threads, o.threads == 1 ? "" : "s", qp::target_name());
  std::printf("  packed       %8.1f MB, %.1f MB read a token\n", f.storage_bytes * 1e-6,
              f.token_bytes * 1e-6);
  std::printf("  peak memory  %8.1f MB, %.1f MB of it cache; %.2f of the packed model without\n",
              f.peak_bytes * 1e-6, f.cache_bytes * 1e-6, f.overhead());
  std::printf("  prompt       %8.1f tokens/s, %zu tokens\n", f.prompt_speed, o.prompt);
  std::printf("  generation   %8.1f tokens/s, %.0f %% of the %.1f GB/s that can be read\n",
              f.generation_speed, 100.0 * f.share_of_bandwidth, f.read_bandwidth * 1e-9);
}

void write_json(const options& o, const figures& f) {
  const nlohmann::json all = {{"recipe", o.recipe},
                              {"target", qp::target_name()},
                              {"layers", o.layers},
                              {"threads", o.threads},
                              {"prompt_tokens", o.prompt},
                              {"generated_tokens", o.generated},
                              {"parameters", f.parameters},
                              {"storage_bytes", f.storage_bytes},
                              {"token_bytes", f.token_bytes},
                              {"cache_bytes", f.cache_bytes},
                              {"peak_bytes", f.peak_bytes},
                              {"prompt_tokens_per_second", f.prompt_speed},
                              {"generated_tokens_per_second", f.generation_speed},
                              {"read_bytes_per_second", f.read_bandwidth},
                              {"share_of_bandwidth", f.share_of_bandwidth}};
  std::ofstream file(o.json);
  file << all.dump(2) << '\n';
  if (!file.flush()) throw qp::file_error(o.json + ": cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  CLI::App app("Speed and memory of a whole model of 1.1 billion random parameters at 4 bits.",
               "qompose_whole_model");
  std::vector<std::string> names;
  for (const known_recipe& known : known_recipes) names.emplace_back(known.name);
  app.add_option("--recipe", o.recipe, "Of all linear layers")
      ->check(CLI::IsMember(names))
      ->capture_default_str();
  app.add_option("--layers", o.layers, "Decoder blocks; fewer for a quick look")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--threads", o.threads, "How many threads compute")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--prompt", o.prompt, "Tokens of the prompt")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--tokens", o.generated, "Tokens that are generated")
      ->check(CLI::Range(9, 1024))
      ->capture_default_str();
  app.add_option("--json", o.json, "Write the figures to this file as well")->type_name("FILE");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& wrong) {
    if (wrong.get_exit_code() == 0) return app.exit(wrong);
    std::fprintf(stderr, "qompose_whole_model: %s\n", wrong.what());
    return 2;
  }
  try {
    const auto known = std::find_if(std::begin(known_recipes), std::end(known_recipes),
                                    [&](const known_recipe& k) { return k.name == o.recipe; });
    const figures f = known->run(o);
    print(o, f);
    if (!o.json.empty()) write_json(o, f);
    return 0;
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "qompose_whole_model: %s\n", failure.what());
    return 1;
  }
}
