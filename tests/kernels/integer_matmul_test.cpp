// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <tuple>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Spec>
using with_a8 = qp::recipe<qp::weight<Spec>, qp::activation<qp::a8_token>>;

/// One recipe for every way in which the integer kernels differ: nibbles and bytes, raised fields,
/// one group and several, offsets.
using integer_recipes = std::tuple<
    qp::w8a8, with_a8<qp::quant<qp::int4, qp::per_channel>>, qp::w4a8_g32, qp::w4a8_minimum_g32,
    with_a8<qp::quant<qp::int4, qp::per_group<7>>>, with_a8<qp::quant<qp::int4, qp::per_group<23>>>,
    with_a8<qp::quant<qp::uint8, qp::per_group<1000>, qp::scale<qp::fp32>, qp::zero<qp::uint8>>>,
    qp::w4a8_g32_hadamard>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("integer kernels: equal the scalar reference on every target for any shape",
                        "[kernels][integer]", integer_recipes) {
  for (const product_shape& s : product_shapes()) check_on_each_target<TestType>(s);
}
