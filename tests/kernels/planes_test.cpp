// SPDX-License-Identifier: Apache-2.0

#include <tuple>

#include "kernels/linear_reference.hpp"
#include "qompose/formats/approximate.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Spec, class Activation = qp::a8_token>
using with_codes = qp::recipe<qp::weight<Spec>, qp::activation<Activation>>;

/// What planes, tables and scales of two levels add to the other kernel tests. That every format
/// runs is checked in tests/nn.
using plane_recipes =
    std::tuple<with_codes<qp::w3_g32>, with_codes<qp::q5_0>, with_codes<qp::nvfp4>,
               with_codes<qp::mxfp6_e2m3>, with_codes<qp::w4_progressive>, with_codes<qp::vsq4_v16>,
               with_codes<qp::quant<qp::approximate<qp::nf4>, qp::per_group<64>>>,
               with_codes<qp::w4_zero_g128>, with_codes<qp::w8_channel, qp::a8_g128>,
               qp::recipe<qp::weight<qp::nf4_g64>>, qp::recipe<qp::weight<qp::mxfp6_e3m2>>,
               qp::recipe<qp::weight<qp::fp8_e4m3_channel>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("kernels: planes, tables and levels of scales on every target",
                        "[kernels][planes]", plane_recipes) {
  for (const product_shape& s : few_shapes) check_on_each_target<TestType>(s);
}
