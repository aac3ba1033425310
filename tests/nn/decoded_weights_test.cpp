// SPDX-License-Identifier: Apache-2.0

#include <tuple>

#include "kernels/linear_reference.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// Weights that are decoded to floats: fields, tables, codebooks, and scales of two levels.
using decoded =
    std::tuple<qp::nf4_g64, qp::nf4_double, qp::fp8_e4m3_channel, qp::fp8_e4m3_block,
               qp::fp8_e5m2_tensor, qp::mxfp6_e3m2, qp::mxfp4, qp::nvfp4, qp::w4_progressive,
               qp::codebook4, qp::codebook3, qp::quant<qp::codebook<16>, qp::per_group<40>>,
               qp::quant<qp::codebook<32>, qp::per_channel>, qp::codebook4_shared,
               qp::quant<qp::fp6_e3m2, qp::per_group<24>>, qp::ternary_channel>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("linear: weights of every other kind are decoded", "[nn][linear]",
                        decoded) {
  using layer = qp::recipe<qp::weight<TestType>>;
  STATIC_REQUIRE_FALSE(qp::linear<layer>::uses_integers);
  for (const product_shape& s : few_shapes) check_on_each_target<layer>(s);
}
