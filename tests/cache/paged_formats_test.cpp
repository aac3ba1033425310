// SPDX-License-Identifier: Apache-2.0

#include "qompose/recipe/catalogue.hpp"
#include "support/cache_sequences.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <std::size_t N>
using pages = qp::layout<qp::paged<N>>;
using int4_channel = qp::quant<qp::int4, qp::per_channel>;

}  // namespace

TEST_CASE("kv_cache: pages hold what is quantized, waits, or stays exact", "[nn][cache]") {
  SECTION("int8 and four bits, first tokens exact") {
    using k = qp::keys<qp::a8_token>;
    using v = qp::values<qp::w4_g32, qp::residual<10>>;
    run_sequences<qp::kv_cache<k, v, pages<64>, qp::exact_first<2>>,
                  qp::kv_cache<k, v, qp::exact_first<2>>>(2, 24);
  }
  SECTION("scales per channel") {
    using v =
        qp::values<qp::quant<qp::uint4, qp::per_token, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>>;
    run_sequences<qp::kv_cache<qp::keys<int4_channel>, v, pages<32>>,
                  qp::kv_cache<qp::keys<int4_channel, qp::residual<32>>, v>>(3, 40);
  }
}
