// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The caches that the program knows. Every recipe runs with every one of them.

#include <string>
#include <string_view>
#include <vector>

#include "qompose/decoder/cache_choice.hpp"

namespace demo {

namespace qp = qompose;

/// A cache with a name.
struct cache_kind {
  std::string_view name;
  std::string_view summary;
  qp::cache_choice choice;
};

// Each is made in a file of its own, so that the build can run in parallel: kernels of attention
// over one composition take some seconds to compile.
cache_kind f32_cache();
cache_kind f16_cache();
cache_kind bf16_cache();
cache_kind int8_cache();
cache_kind fp8_cache();
cache_kind mxfp8_cache();
cache_kind int4_cache();
cache_kind int4_hadamard_cache();
cache_kind int4_minimum_cache();
cache_kind int4_symmetric_cache();
cache_kind nvfp4_cache();
cache_kind mxfp4_cache();
cache_kind nf4_cache();
cache_kind int3_cache();
cache_kind int2_cache();

/// All of them, the baseline first.
const std::vector<cache_kind>& all_caches();

/// The one that is called so, or null.
const cache_kind* find_cache(std::string_view name);

/// Names with commas between.
std::string known_caches();

/// What runs when nothing is asked for.
inline constexpr std::string_view default_caches = "f32";

}  // namespace demo
