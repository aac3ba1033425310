// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The library's version, for `#if` and for humans.

#define QOMPOSE_VERSION_MAJOR 0
#define QOMPOSE_VERSION_MINOR 1
#define QOMPOSE_VERSION_PATCH 0

#include <string_view>

namespace qompose {

/// Semantic version of these headers.
inline constexpr std::string_view version = "0.1.0";

}  // namespace qompose
