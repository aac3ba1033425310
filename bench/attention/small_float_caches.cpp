// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Attention over caches of small floats: a row for each.

#include "attention/cache.hpp"
#include "qompose/recipe/catalogue.hpp"

namespace {

namespace qp = qompose;

[[maybe_unused]] const bool added = [] {
  using qompose_bench::add_cache;
  using qompose_bench::cache;
  add_cache<cache<qp::fp8_token, qp::fp8_token>>("fp8_fp8");
  add_cache<cache<qp::nvfp4, qp::nvfp4>>("nvfp4_nvfp4");
  add_cache<cache<qp::nf4_g64, qp::nf4_g64>>("nf4_nf4");
  return true;
}();

}  // namespace
