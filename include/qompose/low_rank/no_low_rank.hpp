// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The low-rank slot's default: no branch.

#include <string_view>

namespace qompose {

/// No low-rank branch.
struct no_low_rank {
  struct data {};
  static constexpr std::string_view name = "no_low_rank";
};

}  // namespace qompose
