// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Eviction policy: none.

#include <cstddef>

namespace qompose {

/// Every token stays until the cache is truncated; a full cache is an error.
struct keep_all {
  static constexpr std::size_t sinks = 0;
  static constexpr std::size_t tokens = 0;
};

}  // namespace qompose
