// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The outliers slot's default: no weight is kept apart.

#include <string_view>

namespace qompose {

/// No weight is kept in a wider format.
struct no_outliers {
  struct data {};
  static constexpr std::string_view name = "no_outliers";
};

}  // namespace qompose
