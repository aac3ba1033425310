// SPDX-License-Identifier: Apache-2.0

#include <tuple>

#include "kernels/linear_reference.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Spec, class Activation = qp::a8_token>
using with_codes = qp::recipe<qp::weight<Spec>, qp::activation<Activation>>;

/// Every width of planes, every way from fields to integers, and activations in groups.
using image_recipes =
    std::tuple<with_codes<qp::binary_channel>, with_codes<qp::ternary_channel>,
               with_codes<qp::w3_g32>, with_codes<qp::q5_0>,
               with_codes<qp::quant<qp::int_n<6>, qp::per_channel>>, with_codes<qp::mxfp4>,
               with_codes<qp::nvfp4>, with_codes<qp::mxfp6_e2m3>, with_codes<qp::mxint8>,
               with_codes<qp::w4_progressive>, with_codes<qp::vsq4_v16>,
               with_codes<qp::w4_progressive, qp::a8_g128>, with_codes<qp::w8_channel, qp::a8_g128>,
               with_codes<qp::w4_minimum_g32, qp::quant<qp::int8, qp::per_group<64>>>,
               with_codes<qp::w2_g64, qp::quant<qp::int4, qp::per_group<32>>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("linear: weights with an integer image run on integers, exactly",
                        "[nn][linear]", image_recipes) {
  STATIC_REQUIRE(qp::linear<TestType>::uses_integers);
  for (const product_shape& s : few_shapes) check_on_each_target<TestType>(s);
}
