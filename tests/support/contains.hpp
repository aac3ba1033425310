// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The matcher for a part of a string, which Catch2 2.13 and 3.x name differently.

#include <string>

#include "support/catch.hpp"

namespace qompose_tests {

/// Matches strings that contain `part`.
inline auto contains(const std::string& part) {
#if __has_include(<catch2/catch_all.hpp>)
  return Catch::Matchers::ContainsSubstring(part);
#else
  return Catch::Matchers::Contains(part);
#endif
}

}  // namespace qompose_tests
