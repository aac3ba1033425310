// SPDX-License-Identifier: Apache-2.0

#include "qompose/packing/integer_image.hpp"

#include <cstddef>
#include <tuple>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Spec, class Activation = qp::a8_token>
using with_codes = qp::recipe<qp::weight<Spec>, qp::activation<Activation>>;

/// Every width of planes, every way from fields to integers, and activations in groups.
using image_recipes =
    std::tuple<with_codes<qp::binary_channel>, with_codes<qp::ternary_channel>,
               with_codes<qp::w3_g32>, with_codes<qp::q5_0>,
               with_codes<qp::quant<qp::int_n<6>, qp::per_channel>>, with_codes<qp::nvfp4>,
               with_codes<qp::mxfp6_e2m3>, with_codes<qp::mxint8>, with_codes<qp::w4_progressive>,
               with_codes<qp::vsq4_v16>, with_codes<qp::w4_progressive, qp::a8_g128>,
               with_codes<qp::w8_channel, qp::a8_g128>,
               with_codes<qp::w4_minimum_g32, qp::quant<qp::int8, qp::per_group<64>>>,
               with_codes<qp::w2_g64, qp::quant<qp::int4, qp::per_group<32>>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("integer kernels: every integer image equals the scalar reference",
                        "[kernels][integer]", image_recipes) {
  STATIC_REQUIRE(qp::linear<TestType>::uses_integers);
  const std::size_t shapes[][3] = {{1, 1, 1},     {1, 31, 17},   {1, 300, 130}, {2, 64, 33},
                                   {3, 129, 16},  {4, 513, 50},  {5, 32, 15},   {9, 700, 40},
                                   {66, 200, 18}, {70, 1100, 33}};
  for (const auto& [n, in, out] : shapes) {
    const matrix x = random_matrix(n, in, n + 1000 * in);
    const auto layer = qp::compress<TestType>(random_matrix(out, in, in + out).view());
    const expected_products expected = expected_of(layer, x);
    on_each_target([&]<class Isa>() {
      INFO("n " << n << ", in " << in << ", out " << out);
      check_products(expected, run_on<Isa>(layer, x));
    });
  }
}

TEST_CASE("integer_image: is found from decode alone", "[packing][image]") {
  const auto check = []<class Format>(int exponent, int lowest, int most_raised) {
    INFO(Format::name);
    using image = qp::integer_image<Format>;
    CHECK(image::exponent == exponent);
    CHECK(image::lowest == lowest);
    CHECK(image::most_raised == most_raised);
  };
  check.operator()<qp::int8>(0, -128, 255);
  check.operator()<qp::uint8>(0, 0, 255);
  check.operator()<qp::int4>(0, -8, 15);
  check.operator()<qp::ternary>(0, -1, 2);
  check.operator()<qp::binary>(0, -1, 2);
  check.operator()<qp::fp4_e2m1>(1, -12, 24);
  check.operator()<qp::fp6_e2m3>(3, -60, 120);
  check.operator()<qp::fixed_point<8, 6>>(6, -128, 255);
  CHECK_FALSE(qp::integer_image<qp::fp6_e3m2>::exists);
  CHECK_FALSE(qp::integer_image<qp::fp8_e4m3>::exists);
  CHECK_FALSE(qp::integer_image<qp::nf4>::exists);
  CHECK_FALSE(qp::integer_image<qp::codebook<16>>::exists);
  CHECK_FALSE(qp::integer_image<qp::fp16>::exists);
  for (std::size_t field = 0; field < 16; ++field) {
    const float value = qp::fp4_e2m1::decode(static_cast<std::uint8_t>(field));
    CHECK(static_cast<float>(qp::integer_image<qp::fp4_e2m1>::table[field] - 12) == 2 * value);
  }
}
