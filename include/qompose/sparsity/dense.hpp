// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The sparsity slot's default: every weight is stored.

#include <string_view>

namespace qompose {

/// No weight is left out.
struct dense {
  struct data {};
  static constexpr std::string_view name = "dense";
};

}  // namespace qompose
