// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Eviction policy: none.

namespace qompose {

/// Every token stays until the cache is truncated; a full cache is an error.
struct keep_all {};

}  // namespace qompose
