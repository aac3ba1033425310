// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The sparsity slot's default: every weight is stored.

namespace qompose {

/// No weight is left out.
struct dense {
  struct data {};
};

}  // namespace qompose
