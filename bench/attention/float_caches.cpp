// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Attention over caches of floats: a row for each.

#include "attention/cache.hpp"
#include "qompose/recipe/catalogue.hpp"

namespace {

namespace qp = qompose;

/// Keys and values by the spec of each.
template <class Keys, class Values, class... KeyOptions>
using cache = qp::kv_cache<qp::keys<Keys, KeyOptions...>, qp::values<Values>>;

[[maybe_unused]] const bool added = [] {
  using qompose_bench::add_cache;
  add_cache<cache<qp::fp32, qp::fp32>>("fp32_fp32");
  add_cache<cache<qp::fp16, qp::fp16>>("fp16_fp16");
  add_cache<cache<qp::bf16, qp::bf16>>("bf16_bf16");
  return true;
}();

}  // namespace
