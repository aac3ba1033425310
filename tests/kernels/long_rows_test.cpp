// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <tuple>

#include "kernels/linear_reference.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Spec>
using with_codes = qp::recipe<qp::weight<Spec>, qp::activation<qp::a8_token>>;

using rows_of_planes =
    std::tuple<with_codes<qp::w3_channel>, with_codes<qp::quant<qp::int_n<5>, qp::per_channel>>,
               with_codes<qp::quant<qp::int_n<6>, qp::per_channel>>>;

/// Blocks of short groups that end where a stretch of columns does, and that do not; sums of
/// integer scales that integers cannot hold.
using short_groups = std::tuple<
    with_codes<qp::nvfp4>, with_codes<qp::vsq4_v16>,
    with_codes<qp::quant<qp::uint4, qp::per_group<24>, qp::scale<qp::fp16>, qp::zero<qp::uint4>>>>;

}  // namespace

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
