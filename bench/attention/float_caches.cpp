// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Attention over caches of floats: a row for each.

#include "attention/cache.hpp"
#include "qompose/recipe/catalogue.hpp"

namespace {

namespace qp = qompose;

[[maybe_unused]] const bool added = [] {
  using qompose_bench::add_cache;
  using qompose_bench::cache;
  add_cache<cache<qp::fp32, qp::fp32>>("fp32_fp32");
  add_cache<cache<qp::fp16, qp::fp16>>("fp16_fp16");
  add_cache<cache<qp::bf16, qp::bf16>>("bf16_bf16");
  return true;
}();

}  // namespace
