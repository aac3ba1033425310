// SPDX-License-Identifier: Apache-2.0

// The float decoder against values that were computed elsewhere, all in double.

#include <cstddef>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "qompose/decoder/compress_model.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/generate.hpp"
#include "qompose/decoder/load_model.hpp"
#include "qompose/decoder/perplexity.hpp"
#include "qompose/decoder/rebalance.hpp"
#include "support/catch.hpp"
#include "support/reference_data.hpp"

namespace qp = qompose;
using ids = std::vector<qp::token_id>;

namespace {

/// A model of the reference data and what is known of it.
struct golden {
  const char* model;
  const char* ids_file;
  std::size_t n_predicted;
  double cross_entropy;      ///< nats a token, lines cut to the model's context
  double cross_entropy_128;  ///< lines cut to 128 ids
  const char* greedy;        ///< after BOS
};

const golden models[] = {
    {"models/stories260K/stories260K.bin", "models/ids/tinystories100.tok512.ids.txt", 37072,
     1.407617429, 1.322008692,
     "403 407 261 378 432 383 286 261 376 298 315 421 395 317 426 338 401 396 267 337 410 408 419 "
     "292 411 322 265 282 295 433 426 385 328 432 358 394 261 370 432 352 266 268 388 426 338 391 "
     "266 267"},
    {"models/TinyStories-656K", "models/ids/tinystories100.ts656k.ids.txt", 18124, 3.155354113,
     3.102064248,
     "147 201 282 215 286 598 1662 356 499 826 1363 1145 1652 615 242 1482 951 628 499 826 872 921 "
     "318 385 628 499 826 617 242 198 1047 425 1939 122 1924 1171 94 303 328 229 521 776 115 1139 "
     "312 447 1456 319"},
    {"models/babyllama-970K/model_tok105.bin", "models/ids/tinystories100.tok105.ids.txt", 25500,
     0.697521140, 0.600755700,
     "3 34 9 22 4 3 18 20 7 9 3 5 3 6 10 16 4 25 3 6 8 4 13 4 3 17 5 12 3 5 3 14 10 6 6 14 4 3 21 "
     "10 13 14 3 9 5 16 4 11"}};

ids parse(const std::string& text) {
  std::istringstream stream(text);
  ids result;
  for (qp::token_id id = 0; stream >> id;) result.push_back(id);
  return result;
}

std::vector<ids> read_lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<ids> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(parse(line));
  return lines;
}

// The values have nine decimals. A float decoder's logits are off by some 1e-6, in both
// directions, so that the mean over thousands of tokens is off by far less than 1e-6.
constexpr double float_agreement = 1e-6;

}  // namespace

TEST_CASE("golden: the float decoder says the same tokens and finds the same cross-entropy",
          "[decoder][golden]") {
  for (const golden& g : models) {
    const auto path = qompose_tests::reference_data(g.model);
    const auto ids_path = qompose_tests::reference_data(g.ids_file);
    if (path.empty() || ids_path.empty()) {
      WARN("skipped: " << qompose_tests::missing_reference_data(g.model));
      continue;
    }
    INFO(g.model);
    const auto model = qp::compress_model<qp::model_recipe>(qp::load_model(path));
    CHECK(qp::generate(model, ids{1}, {.max_tokens = 48, .stop_at_end = false}) == parse(g.greedy));

    const std::vector<ids> lines = read_lines(ids_path);
    const auto full = qp::sequence_perplexity(model, lines);
    CHECK(full.n_scored == g.n_predicted);
    CHECK(full.mean_nll == Approx(g.cross_entropy).epsilon(float_agreement));
    const auto cut = qp::sequence_perplexity(model, lines, {.context = 128});
    CHECK(cut.mean_nll == Approx(g.cross_entropy_128).epsilon(float_agreement));
  }
}

TEST_CASE("golden: folded norms and rescaled units change nothing", "[decoder][golden]") {
  const golden& g = models[1];
  const auto path = qompose_tests::reference_data(g.model);
  const auto ids_path = qompose_tests::reference_data(g.ids_file);
  if (path.empty() || ids_path.empty()) {
    QOMPOSE_SKIP(qompose_tests::missing_reference_data(g.model));
  }
  qp::model_weights weights = qp::load_model(path);
  qp::fold_norms(weights);
  qp::rescale_units(weights, 1);
  const auto model = qp::compress_model<qp::model_recipe>(weights);
  CHECK(qp::generate(model, ids{1}, {.max_tokens = 48, .stop_at_end = false}) == parse(g.greedy));
  const auto cut = qp::sequence_perplexity(model, read_lines(ids_path), {.context = 128});
  CHECK(cut.mean_nll == Approx(g.cross_entropy_128).epsilon(float_agreement));
}
