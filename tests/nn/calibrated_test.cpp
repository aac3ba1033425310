// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <tuple>
#include <vector>

#include "kernels/linear_reference.hpp"
#include "qompose/nn/activation_statistics.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/recipe/presets.hpp"
#include "qompose/transforms/channel_scale.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/layer_outputs.hpp"
#include "support/matrix.hpp"
#include "support/transform_data.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Weights, class Activations, class Transform = qp::no_transform>
using stored = qp::recipe<qp::weight<Weights>, qp::activation<Activations, qp::calibrated>,
                          qp::transform<Transform>>;

/// Activations that take the float path: formats alone, scales that are found, and stored ones that
/// no integer kernel takes, in groups shorter and longer than a run of codes.
using float_activations = std::tuple<
    qp::activation<qp::bf16>, qp::activation<qp::fp8_e4m3>,
    qp::activation<qp::quant<qp::fp8_e4m3, qp::per_token>>,
    qp::activation<qp::quant<qp::uint8, qp::per_token, qp::scale<qp::fp32>, qp::zero<qp::uint8>>>,
    qp::activation<qp::quant<qp::fp4_e2m1, qp::per_group<32>, qp::scale<qp::e8m0>>, qp::calibrated>,
    qp::activation<qp::quant<qp::nf4, qp::per_group<600>, qp::scale<qp::bf16>>, qp::calibrated>>;

template <class Recipe>
auto calibrated_layer(const matrix& w, const matrix& seen) {
  if constexpr (qp::is_calibrated<Recipe>) {
    qp::activation_statistics<typename Recipe::transform_type> inputs(w.cols());
    inputs.add(seen.view());
    return qp::compress<Recipe>(w.view(), {}, inputs);
  } else {
    return qp::compress<Recipe>(w.view());
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("linear: activations of every kind of number equal their scalar reference",
                        "[nn][linear][calibrated]", float_activations) {
  using recipe = qp::recipe<qp::weight<qp::w8_channel>, TestType>;
  CHECK_FALSE(qp::linear<recipe>::uses_integers);
  const matrix w = random_matrix(20, 1300, 1);
  const auto layer = calibrated_layer<recipe>(w, random_matrix(4, 1300, 2));
  // Larger than what was seen, in part.
  const matrix x = random_matrix(6, 1300, 3);
  matrix y(6, 20);
  layer(x.view(), y.view());
  check_products(expected_of(layer, x), y);
}

TEST_CASE("calibrated: the layer holds a buffer more, and its bytes count", "[nn][calibrated]") {
  using grouped = stored<qp::w8_channel, qp::quant<qp::int8, qp::per_group<32>>>;
  CHECK(sizeof(qp::linear<qp::w8a8_static>) ==
        sizeof(qp::linear<qp::w8a8>) + sizeof(qp::aligned_buffer<float>));
  CHECK(qp::linear<qp::w8a8_static>::uses_integers);
  CHECK(qp::linear<grouped>::uses_integers);
  const matrix w = random_matrix(16, 64, 4);
  const std::size_t dynamic = qp::compress<qp::w8a8>(w.view()).storage_bytes();
  CHECK(calibrated_layer<qp::w8a8_static>(w, w).storage_bytes() == dynamic + 4);
  CHECK(calibrated_layer<grouped>(w, w).storage_bytes() == dynamic + 8);
}

TEST_CASE("calibrated: scales are the largest magnitudes seen, behind the transform",
          "[nn][calibrated]") {
  using transform = qp::block_hadamard<64>;
  using recipe = stored<qp::w4_g32, qp::quant<qp::int8, qp::per_group<64>>, transform>;
  const matrix first = random_matrix(3, 150, 5);
  const matrix second = random_matrix(2, 150, 6);
  qp::activation_statistics<transform> inputs(150);
  inputs.add(first.view());
  inputs.add(second.view());
  CHECK(inputs.n_tokens() == 5);
  std::vector<float> peaks(3);
  for (const matrix& seen : {transformed<transform>(first), transformed<transform>(second)}) {
    for (std::size_t t = 0; t < seen.rows(); ++t) {
      for (std::size_t c = 0; c < 150; ++c) {
        peaks[c / 64] = std::max(peaks[c / 64], std::abs(seen(t, c)));
      }
    }
  }
  const auto layer = qp::compress<recipe>(random_matrix(9, 150, 7).view(), {}, inputs);
  REQUIRE(layer.activation_scales().size() == 3);
  for (std::size_t g = 0; g < 3; ++g) CHECK(layer.activation_scales()[g] == peaks[g] / 127.0f);

  // Scales in a format of their own, and 1 where there was nothing but zeros.
  using halves =
      stored<qp::w8_channel, qp::quant<qp::int8, qp::per_group<64>, qp::scale<qp::fp16>>>;
  matrix sparse = first;
  for (std::size_t t = 0; t < 3; ++t) std::fill_n(sparse.view().row(t), 64, 0.0f);
  const auto rounded = calibrated_layer<halves>(random_matrix(9, 150, 7), sparse);
  CHECK(rounded.activation_scales()[0] == 1.0f);
  float peak = 0.0f;
  for (std::size_t t = 0; t < 3; ++t) peak = std::max(peak, std::abs(first(t, 149)));
  for (std::size_t t = 0; t < 3; ++t) {
    for (std::size_t c = 128; c < 150; ++c) peak = std::max(peak, std::abs(first(t, c)));
  }
  CHECK(rounded.activation_scales()[2] == qp::fp16::decode(qp::fp16::encode(peak / 127.0f)));
}

TEST_CASE("calibrated: one row that was seen gives what dynamic scales give", "[nn][calibrated]") {
  const matrix w = random_matrix(40, 200, 8);
  const matrix x = random_matrix(1, 200, 9);
  CHECK(outputs(calibrated_layer<qp::w8a8_static>(w, x), x) ==
        outputs(qp::compress<qp::w8a8>(w.view()), x));
}

TEST_CASE("calibrated: the factors of a channel_scale come with the statistics",
          "[nn][calibrated]") {
  using transform = qp::channel_scale;
  using recipe = stored<qp::w8_channel, qp::quant<qp::int8, qp::per_tensor>, transform>;
  qp::activation_statistics<transform> inputs(48, some_data<transform>(48));
  const matrix x = random_matrix(3, 48, 10);
  inputs.add(x.view());
  const auto layer = qp::compress<recipe>(random_matrix(5, 48, 11).view(), {}, inputs);
  float peak = 0.0f;
  for (std::size_t t = 0; t < 3; ++t) {
    for (std::size_t c = 0; c < 48; ++c) {
      peak = std::max(peak, std::abs(x(t, c) * inputs.transform().factors[c]));
    }
  }
  CHECK(layer.activation_scales()[0] == peak / 127.0f);
  CHECK_THROWS_AS(qp::activation_statistics<transform>(47, some_data<transform>(48)),
                  qp::shape_error);
}

TEST_CASE("activation_statistics: bad inputs are errors that change nothing", "[nn][calibrated]") {
  qp::activation_statistics inputs(20);
  const matrix w = random_matrix(5, 20, 12);
  CHECK_THROWS_AS(qp::compress<qp::w8a8_static>(w.view(), {}, inputs), qp::argument_error);
  CHECK_THROWS_WITH(qp::compress<qp::w8a8_static>(w.view(), {}, inputs),
                    contains("of 0 rows, expected at least 1"));
  inputs.add(random_matrix(2, 20, 13).view());
  const std::vector<float> before(inputs.peaks().begin(), inputs.peaks().end());

  matrix bad = matrix(3, 20, 1e6f);
  bad(2, 7) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(inputs.add(bad.view()), qp::value_error);
  CHECK_THROWS_WITH(inputs.add(bad.view()), contains("x: element (2, 7) is NaN"));
  CHECK_THROWS_WITH(inputs.add(matrix(3, 21, 1e6f).view()),
                    contains("shape [3, 21], expected [3, 20]"));
  CHECK(std::vector<float>(inputs.peaks().begin(), inputs.peaks().end()) == before);
  CHECK(inputs.n_tokens() == 2);
  // Finite inputs of which the sums are not.
  qp::activation_statistics<qp::block_hadamard<2>> rotated(20);
  matrix large(2, 20);
  std::fill_n(large.view().row(1), 20, 3e38f);
  CHECK_THROWS_WITH(rotated.add(large.view()),
                    contains("transformed x: element (1, 0) is infinite"));
  CHECK(rotated.n_tokens() == 0);

  CHECK_THROWS_AS(qp::compress<qp::w8a8_static>(random_matrix(5, 21, 14).view(), {}, inputs),
                  qp::shape_error);
  using halves = stored<qp::w8_channel, qp::quant<qp::int8, qp::per_tensor, qp::scale<qp::fp16>>>;
  inputs.add(matrix(1, 20, 1e7f).view());
  CHECK_THROWS_WITH(qp::compress<halves>(w.view(), {}, inputs),
                    contains("use scale<fp32> or bf16"));
  // No inputs at all need no statistics.
  float nothing = 0.0f;
  const qp::activation_statistics none(0);
  CHECK(qp::compress<qp::w8a8_static>({&nothing, 3, 0}, {}, none).activation_scales().empty());
}
