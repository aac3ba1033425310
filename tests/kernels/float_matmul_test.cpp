// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>
#include <vector>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/table5.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// One recipe for every way in which the float kernels differ: floats as they are, halves, bytes,
/// nibbles, tables; scales, offsets, rounded activations.
using float_recipes =
    std::tuple<qp::recipe<>, qp::w16a32, qp::recipe<qp::weight<qp::fp16>, qp::activation<qp::bf16>>,
               qp::w8a32, qp::w4a32_g32,
               qp::recipe<qp::weight<qp::quant<table5, qp::per_group<7>, qp::scale<qp::fp16>>>>,
               qp::recipe<qp::weight<qp::quant<qp::uint8, qp::per_group<24>, qp::scale<qp::bf16>,
                                               qp::minimum<qp::fp16>>>,
                          qp::activation<qp::quant<qp::int8, qp::per_group<16>>>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("float kernels: stay within their bound on every target for any shape",
                        "[kernels][float]", float_recipes) {
  for (const product_shape& s : product_shapes()) check_on_each_target<TestType>(s);
}

TEST_CASE("float kernels: a NaN stays in its row", "[kernels][float]") {
  const auto check = []<class Recipe>() {
    const auto layer = qp::compress<Recipe>(random_matrix(20, 50, 1).view());
    const matrix x = random_matrix(7, 50, 2);
    matrix faulty = x;
    faulty(3, 49) = std::numeric_limits<float>::quiet_NaN();
    on_each_target([&]<class Isa>() {
      CHECK(is_nan_only_in({3}, run_on<Isa>(layer, faulty), run_on<Isa>(layer, x)));
    });
  };
  check.operator()<qp::recipe<>>();
  check.operator()<qp::w4a32_g32>();
}

TEST_CASE("float kernels: a bias is added once, to one token and to many", "[kernels][float]") {
  const matrix bias = random_matrix(1, 35, 3);
  const matrix weights = random_matrix(35, 40, 4);
  const auto layer = qp::compress<qp::recipe<>>(weights.view(), bias.values());
  const matrix x = random_matrix(6, 40, 5);
  expected_products expected = expected_of(layer, x);
  for (std::size_t i = 0; i < expected.y.size(); ++i) {
    expected.y[i] += static_cast<double>(bias(0, i % 35));
    expected.bound[i] += 0x1p-23 * std::abs(static_cast<double>(bias(0, i % 35)));
  }
  on_each_target([&]<class Isa>() {
    check_products(expected, run_on<Isa>(layer, x));
    const matrix first(1, 40, {x.values().begin(), x.values().begin() + 40});
    expected_products one = expected;
    one.y.resize(35);
    check_products(one, run_on<Isa>(layer, first));
  });
}

#if defined(_OPENMP)
TEST_CASE("float kernels: results do not depend on the threads", "[kernels][float]") {
  const auto check = []<class Recipe>(std::size_t n, std::size_t in, std::size_t out) {
    const auto layer = qp::compress<Recipe>(random_matrix(out, in, 6).view());
    const matrix x = random_matrix(n, in, 7);
    matrix one(n, out);
    layer(x.view(), one.view());
    for (const int threads : {2, 3, 5}) {
      matrix many(n, out);
      layer(x.view(), many.view(), qp::openmp{threads});
      CHECK(many.values() == one.values());
    }
  };
  check.operator()<qp::recipe<>>(70, 300, 200);
  check.operator()<qp::w4a32_g32>(1, 2000, 300);
  check.operator()<qp::w16a32>(130, 200, 100);
}
#endif
