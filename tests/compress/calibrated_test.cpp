// SPDX-License-Identifier: Apache-2.0

#include "qompose/compress/calibrated.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

#include "qompose/decoder/load_model.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/small_model.hpp"

namespace qp = qompose;
using qompose_tests::small_model;
using qompose_tests::temporary_folder;

namespace {

qp::model_weights loaded(const std::string& architecture) {
  small_model m;
  m.dim = 64;
  m.hidden_dim = 96;
  m.n_layers = 2;
  m.n_heads = 4;
  m.n_kv_heads = 2;
  m.vocab_size = 40;
  m.architecture = architecture;
  m.qkv_bias = architecture == "qwen2";
  m.qk_norm = architecture == "qwen3";
  const temporary_folder folder;
  qompose_tests::small_gguf(m).write(folder / "model.gguf");
  return qp::load_model(folder / "model.gguf");
}

std::vector<qp::token_id> tokens(std::size_t n) {
  std::vector<qp::token_id> ids(n);
  for (std::size_t i = 0; i < n; ++i) ids[i] = static_cast<qp::token_id>((i * i + 3 * i) % 40);
  return ids;
}

template <class Model>
std::vector<float> logits_of(const Model& model) {
  const auto ids = tokens(8);
  auto state = model.start(ids.size());
  const auto logits = model.forward(ids, state, qp::logits_for::all);
  return {logits.data(), logits.data() + logits.rows() * logits.cols()};
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
    norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(sum / norm);
}

}  // namespace

TEST_CASE("calibrate: balancing leaves the function unchanged", "[compress]") {
  for (const char* architecture : {"llama", "qwen2", "qwen3"}) {
    INFO(architecture);
    const qp::model_weights weights = loaded(architecture);
    const qp::calibrated_model calibrated = qp::calibrate(weights, tokens(20));
    const auto before = logits_of(qp::compress_model<qp::model_recipe>(weights));
    const auto after = logits_of(qp::compress_model<qp::model_recipe>(calibrated.weights));
    // Float rounding of two layers, each weight scaled by up to two factors.
    CHECK(distance(after, before) < 1e-5);
    // And it is no empty gesture.
    CHECK(calibrated.weights.layers[0].attention_norm != weights.layers[0].attention_norm);
  }
}

TEST_CASE("calibrate: moments belong to the balanced model", "[compress]") {
  const qp::calibrated_model calibrated = qp::calibrate(loaded("llama"), tokens(20));
  const auto again = qp::measure_inputs(calibrated.weights, tokens(20));
  for (std::size_t c = 0; c < 64; ++c) {
    // The probe's 8-bit weights are rounded differently in the two bases.
    CHECK(again[1].ffn_in.diagonal(c) ==
          Approx(calibrated.moments[1].ffn_in.diagonal(c)).epsilon(0.15).margin(1e-3));
  }
}

TEST_CASE("compress_model: text helps 4-bit weights", "[compress]") {
  const qp::model_weights weights = loaded("llama");
  using model = qp::uniform_model<qp::w4a32_g32, qp::w8a32>;
  const auto exact = logits_of(qp::compress_model<qp::model_recipe>(weights));
  const auto plain = logits_of(qp::compress_model<model>(weights));
  const auto ids = tokens(200);
  const auto helped = logits_of(qp::compress_model<model>(weights, ids, qp::compress_options<>{}));
  CHECK(distance(helped, exact) < 0.9 * distance(plain, exact));
}

TEST_CASE("calibrate: refuses what is no text", "[compress]") {
  const qp::model_weights weights = loaded("llama");
  CHECK_THROWS_AS(qp::calibrate(weights, std::vector<qp::token_id>{}), qp::argument_error);
  CHECK_THROWS_AS(qp::calibrate(weights, std::vector<qp::token_id>{1, 4000}), qp::argument_error);
}
