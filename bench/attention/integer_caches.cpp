// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Attention over caches of integers: a row for each.

#include "attention/cache.hpp"
#include "qompose/recipe/catalogue.hpp"

namespace {

namespace qp = qompose;

using int4 = qp::quant<qp::int4, qp::per_token, qp::scale<qp::fp16>>;
using int4_channel = qp::quant<qp::int4, qp::per_channel, qp::scale<qp::fp16>>;

[[maybe_unused]] const bool added = [] {
  using qompose_bench::add_cache;
  using qompose_bench::cache;
  add_cache<cache<qp::a8_token, qp::a8_token>>("int8_int8");
  add_cache<cache<qp::a8_token, qp::fp16>>("int8_fp16");
  add_cache<cache<int4, int4>>("int4_int4");
  add_cache<cache<int4_channel, int4, qp::residual<128>>>("int4_channel_int4");
  add_cache<cache<qp::w4_g32, qp::w4_g32>>("int4_g32_int4_g32");
  return true;
}();

}  // namespace
