// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <filesystem>
#include <iterator>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "policy_lists.hpp"
#include "qompose/formats/approximate.hpp"
#include "qompose/io/layer_file.hpp"
#include "qompose/nn/compress.hpp"
#include "support/catch.hpp"
#include "support/layer_outputs.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// More compositions whose parts differ in kind: scales of scales, codebooks, offsets, panels of
/// each width and with padding.
using more_recipes =
    std::tuple<qp::w8a8_hadamard,
               qp::recipe<qp::weight<qp::w8_channel>, qp::activation<qp::a8_token>,
                          qp::transform<qp::then<qp::random_signs<3>, qp::hadamard>>>,
               qp::recipe<qp::weight<qp::nvfp4>>, qp::recipe<qp::weight<qp::vsq4_v16>>,
               qp::recipe<qp::weight<qp::q4_k_like>, qp::activation<qp::a8_token>>,
               qp::recipe<qp::weight<qp::w4_zero_g128>, qp::activation<qp::a8_token>>,
               qp::recipe<qp::weight<qp::w4_progressive>, qp::activation<qp::a8_token>>,
               qp::recipe<qp::weight<qp::nf4_double>>, qp::recipe<qp::weight<qp::codebook3>>,
               qp::recipe<qp::weight<qp::codebook4_shared>>,
               qp::recipe<qp::weight<qp::ternary_tensor>>, qp::recipe<qp::weight<qp::fp8_e4m3>>,
               qp::recipe<qp::weight<qp::quant<qp::uint8, qp::per_group<7>, qp::scale<qp::fp32>,
                                               qp::zero<qp::uint8>>>>>;

template <class Recipe>
void check_round_trip() {
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  for (const auto& [rows, cols] :
       {std::pair<std::size_t, std::size_t>{1, 1}, {0, 5}, {5, 0}, {17, 33}, {70, 290}}) {
    INFO("[" << rows << ", " << cols << "]");
    const matrix bias = random_matrix(1, rows, 3);
    const matrix x = random_matrix(3, cols, 4);
    for (const bool has_bias : {false, true}) {
      const auto layer = qp::compress<Recipe>(
          random_matrix(rows, cols, 5).view(),
          has_bias ? std::span<const float>(bias.values()) : std::span<const float>());
      qp::save(path, layer);
      for (const auto where : {qp::placement::mapped, qp::placement::copied}) {
        auto loaded = qp::load<qp::linear<Recipe>>(path, where);
        CHECK(same(loaded.quantized(), layer.quantized()));
        CHECK(loaded.bias().size() == layer.bias().size());
        CHECK(loaded.storage_bytes() == layer.storage_bytes());
        CHECK(outputs(loaded, x) == outputs(layer, x));
        // A copy and what was moved stay when the first is gone.
        auto copy = std::optional(loaded);
        loaded = qp::linear<Recipe>();
        const auto moved = std::move(*copy);
        copy.reset();
        CHECK(outputs(moved, x) == outputs(layer, x));
      }
    }
  }
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("layer_file: a layer comes back and computes the same, bit for bit",
                        "[io][layer_file]", recipes) {
  check_round_trip<TestType>();
}

TEMPLATE_LIST_TEST_CASE("layer_file: parts of every kind come back", "[io][layer_file]",
                        more_recipes) {
  check_round_trip<TestType>();
}

TEST_CASE("layer_file: a file of nf4 is read as approximate, and the other way round",
          "[io][layer_file]") {
  using exact = qp::recipe<qp::weight<qp::nf4_g64>, qp::activation<qp::a8_token>>;
  using spec = qp::nf4_g64;
  using rounded = qp::recipe<qp::weight<qp::quant<qp::approximate<qp::nf4>, spec::granularity_type,
                                                  spec::scale_type, spec::zero_type>>,
                             qp::activation<qp::a8_token>>;
  const temporary_folder folder;
  const auto path = folder / "layer.safetensors";
  const auto layer = qp::compress<exact>(random_matrix(17, 130, 5).view());
  qp::save(path, layer);
  const auto loaded = qp::load<qp::linear<rounded>>(path);
  CHECK(qp::linear<rounded>::uses_integers);
  for (std::size_t r = 0; r < 17; ++r) {
    for (std::size_t c = 0; c < 130; ++c) {
      CHECK(loaded.quantized().code(r, c) == layer.quantized().code(r, c));
      const float scale = layer.quantized().scale(r, c);
      CHECK(loaded.quantized().scale(r, c) == scale);
      CHECK(loaded.weights().value(r, c) ==
            scale * qp::approximate<qp::nf4>::decode(loaded.quantized().code(r, c)));
    }
  }
  qp::save(path, loaded);
  CHECK(same(qp::load<qp::linear<exact>>(path).quantized(), layer.quantized()));
}
