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

/// Blocks of short groups that end where a stretch of columns does, and that do not; sums of
/// integer scales that integers cannot hold.
using short_groups = std::tuple<
    with_codes<qp::nvfp4>, with_codes<qp::vsq4_v16>,
    with_codes<qp::quant<qp::uint4, qp::per_group<24>, qp::scale<qp::fp16>, qp::zero<qp::uint4>>>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("kernels: planes, tables and levels of scales on every target",
                        "[kernels][planes]", plane_recipes) {
  for (const product_shape& s : few_shapes) check_on_each_target<TestType>(s);
}

using rows_of_planes =
    std::tuple<with_codes<qp::w3_channel>, with_codes<qp::quant<qp::int_n<5>, qp::per_channel>>,
               with_codes<qp::quant<qp::int_n<6>, qp::per_channel>>>;

TEMPLATE_LIST_TEST_CASE("kernels: rows of several planes in one group on every target",
                        "[kernels][planes]", rows_of_planes) {
  for (const std::size_t n : {1u, 5u, 40u, 70u}) check_on_each_target<TestType>({n, 2100, 34});
}

TEMPLATE_LIST_TEST_CASE("kernels: short groups of very long rows on every target",
                        "[kernels][planes]", short_groups) {
  check_on_each_target<TestType>({1, 66'000, 17});
  // More than one group, which would have to be exact: the reference multiplies levels first.
  for (std::size_t in = 33; in <= 150; in += 9) check_on_each_target<TestType>({1, in, 17});
}
