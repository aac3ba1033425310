// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <limits>
#include <tuple>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Weights, class Activations>
using with = qp::recipe<qp::weight<Weights>, qp::activation<Activations>>;

template <class Format, std::size_t n, class Scale>
using groups_of = qp::quant<Format, qp::per_group<n>, qp::scale<Scale>>;

/// Activations whose codes are looked up, and such as are integers themselves with scales of other
/// formats; of rows and groups; groups longer, shorter and as long as those of the weights.
using image_recipes =
    std::tuple<with<qp::mxfp4, qp::mxfp4>, with<qp::w4_g32, qp::q8_0>,
               with<qp::w8_channel, qp::quant<qp::int8, qp::per_token, qp::scale<qp::fp16>>>,
               with<qp::w8_channel, qp::mxfp6_e2m3>,
               with<qp::w4_minimum_g32, groups_of<qp::fp4_e2m1, 128, qp::fp16>>,
               with<qp::w4_g128, groups_of<qp::int8, 64, qp::fp8_e4m3>>,
               with<qp::w8_channel, qp::quant<qp::binary, qp::per_token>>,
               with<qp::w4_g32, qp::quant<qp::ternary, qp::per_token>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("image codes: activations of other formats meet weights as integers",
                        "[kernels][integer]", image_recipes) {
  STATIC_REQUIRE(makes_image_codes<qp::linear<TestType>>);
  for (const product_shape& s : few_shapes) check_on_each_target<TestType>(s);
}

TEST_CASE("image codes: signs with signs stay with the xnor kernels", "[kernels][integer]") {
  using signs = with<qp::binary_channel, qp::quant<qp::binary, qp::per_token>>;
  STATIC_REQUIRE(qp::linear<signs>::uses_bits);
  STATIC_REQUIRE_FALSE(qp::linear<signs>::uses_integers);
}

TEST_CASE(
    "image codes: a row with a NaN or an infinity, or past the scales, is NaN and no other is",
    "[kernels][integer][errors]") {
  using recipe = with<qp::w4_g32, qp::q8_0>;
  const auto layer = qp::compress<recipe>(random_matrix(20, 100, 1).view());
  const matrix x = random_matrix(9, 100, 2);
  matrix faulty = x;
  faulty(0, 99) = std::numeric_limits<float>::quiet_NaN();
  faulty(4, 40) = -std::numeric_limits<float>::infinity();
  faulty(8, 3) = 1e20f;  // its scale is past fp16
  on_each_target([&]<class Isa>() {
    CHECK(is_nan_only_in({0, 4, 8}, run_on<Isa>(layer, faulty), run_on<Isa>(layer, x)));
  });
}
