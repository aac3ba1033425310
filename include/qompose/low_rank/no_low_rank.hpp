// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The low-rank slot's default: no branch.

namespace qompose {

/// No low-rank branch.
struct no_low_rank {
  struct data {};
};

}  // namespace qompose
