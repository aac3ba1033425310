// SPDX-License-Identifier: Apache-2.0

#include "qompose/decoder/rebalance.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "qompose/decoder/compress_model.hpp"
#include "qompose/decoder/decoder.hpp"
#include "qompose/decoder/load_model.hpp"
#include "support/catch.hpp"
#include "support/small_model.hpp"

namespace qp = qompose;
using qompose_tests::small_model;
using qompose_tests::temporary_folder;

namespace {

/// Grouped query heads, two layers, sizes that are no powers of two.
small_model model_of(bool tied, const std::string& architecture) {
  small_model m;
  m.dim = 24;
  m.hidden_dim = 20;
  m.n_layers = 2;
  m.n_heads = 6;
  m.n_kv_heads = 2;
  m.vocab_size = 30;
  m.tied = tied;
  m.architecture = architecture;
  m.qkv_bias = architecture == "qwen2";
  m.qk_norm = architecture == "qwen3";
  return m;
}

qp::model_weights loaded(const small_model& m) {
  const temporary_folder folder;
  qompose_tests::small_gguf(m).write(folder / "model.gguf");
  return qp::load_model(folder / "model.gguf");
}

std::vector<float> logits_of(const qp::model_weights& weights) {
  const auto model = qp::compress_model<qp::model_recipe>(weights);
  const std::vector<qp::token_id> tokens = {1, 5, 29, 0, 7, 7, 12};
  auto state = model.start(tokens.size());
  const auto logits = model.forward(tokens, state, qp::logits_for::all);
  return {logits.data(), logits.data() + logits.rows() * logits.cols()};
}

double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double most = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::max(most, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  }
  return most;
}

double largest(const std::vector<float>& values) {
  return largest_difference(values, std::vector<float>(values.size()));
}

std::vector<float> values_of(const qp::weight_source& source) {
  std::vector<float> values(source.rows * source.cols);
  source.read_rows(0, source.rows, values.data());
  return values;
}

// Each pass rounds a weight a few times more, 2^-24 each, and the sums have some twenty terms; two
// layers add up.
constexpr double float_rounding = 3e-6;

}  // namespace

TEST_CASE("rebalance: no pass changes the logits", "[decoder][rebalance]") {
  const bool tied = GENERATE(true, false);
  const std::string architecture = GENERATE("llama", "qwen2", "qwen3");
  qp::model_weights weights = loaded(model_of(tied, architecture));
  const std::vector<float> before = logits_of(weights);
  REQUIRE(largest(before) > 0.1);

  qp::fold_norms(weights);
  CHECK(largest_difference(logits_of(weights), before) < float_rounding * largest(before));
  qp::rescale_units(weights, 4);
  CHECK(largest_difference(logits_of(weights), before) < float_rounding * largest(before));
  qp::balance_norms(weights);
  CHECK(largest_difference(logits_of(weights), before) < float_rounding * largest(before));
}

TEST_CASE("rebalance: a wrong fold would be seen", "[decoder][rebalance]") {
  qp::model_weights weights = loaded(model_of(true, "llama"));
  const std::vector<float> before = logits_of(weights);
  std::vector<float> factors(weights.config.dim, 1.0f);
  factors[3] = 1.01f;
  weights.layers[1].up_proj.scale_columns(factors);
  CHECK(largest_difference(logits_of(weights), before) > 10 * float_rounding * largest(before));
}

TEST_CASE("rebalance: folded gains are ones, and the final one only where it may be",
          "[decoder][rebalance]") {
  const bool tied = GENERATE(true, false);
  qp::model_weights weights = loaded(model_of(tied, "llama"));
  const std::vector<float> final_norm = weights.final_norm;
  const std::vector<float> ones(weights.config.dim, 1.0f);
  qp::fold_norms(weights);
  for (const qp::layer_weights& layer : weights.layers) {
    CHECK(layer.attention_norm == ones);
    CHECK(layer.ffn_norm == ones);
  }
  CHECK(weights.final_norm == (tied ? final_norm : ones));
}

TEST_CASE("rebalance: balanced columns have one size, whatever was folded into them",
          "[decoder][rebalance]") {
  qp::model_weights weights = loaded(model_of(true, "llama"));
  qp::fold_norms(weights);
  std::vector<float> spread(weights.config.dim, 1.0f);
  spread[2] = 0.0f;  // a column of zeros stays one
  spread[5] = 1000.0f;
  for (qp::weight_source* reader : {&weights.layers[0].gate_proj, &weights.layers[0].up_proj}) {
    reader->scale_columns(spread);
  }
  qp::balance_norms(weights);
  const qp::layer_weights& layer = weights.layers[0];
  const std::vector<float> rms = qp::detail::column_rms({&layer.gate_proj, &layer.up_proj});
  for (std::size_t c = 0; c < rms.size(); ++c) CHECK(rms[c] == Approx(1.0).epsilon(1e-5));
  CHECK(layer.ffn_norm[2] == 1.0f);
  CHECK(layer.ffn_norm[5] > 10.0f);
  CHECK(values_of(layer.gate_proj)[2] == 0.0f);
}

TEST_CASE("rebalance: every matrix of a block changes, and a copy of the model does not",
          "[decoder][rebalance]") {
  const qp::model_weights original = loaded(model_of(true, "llama"));
  qp::model_weights changed = original;
  qp::fold_norms(changed);
  qp::rescale_units(changed, 1);
  for (std::size_t i = 0; i < original.layers.size(); ++i) {
    for (qp::weight_source qp::layer_weights::*const matrix :
         {&qp::layer_weights::q_proj, &qp::layer_weights::k_proj, &qp::layer_weights::v_proj,
          &qp::layer_weights::o_proj, &qp::layer_weights::gate_proj, &qp::layer_weights::up_proj,
          &qp::layer_weights::down_proj}) {
      CHECK(values_of(changed.layers[i].*matrix) != values_of(original.layers[i].*matrix));
      CHECK((original.layers[i].*matrix).row_scale == nullptr);
      CHECK((original.layers[i].*matrix).column_scale == nullptr);
    }
  }
  CHECK(values_of(changed.embedding) == values_of(original.embedding));
}

TEST_CASE("rebalance: factors follow the seed and stay in their range", "[decoder][rebalance]") {
  const auto factors = [](std::uint64_t seed) {
    qp::model_weights weights = loaded(model_of(true, "llama"));
    qp::rescale_units(weights, seed);
    return *weights.layers[0].up_proj.row_scale;
  };
  const std::vector<float> seeded = factors(9);
  CHECK(seeded == factors(9));
  CHECK(seeded != factors(10));
  CHECK(std::set<float>(seeded.begin(), seeded.end()).size() == seeded.size());
  for (const float factor : seeded) {
    // The ends themselves are rounded.
    CHECK(factor >= Approx(0.8));
    CHECK(factor <= Approx(1.25));
  }
}
