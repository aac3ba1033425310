// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Finds the reference models and vectors, which do not travel with the project.

#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#if !defined(QOMPOSE_REFERENCE_DATA)
#define QOMPOSE_REFERENCE_DATA ""
#endif

namespace qompose_tests {

/// A file or folder of the reference data; empty when it is not there.
inline std::filesystem::path reference_data(std::string_view name) {
  const std::filesystem::path root = QOMPOSE_REFERENCE_DATA;
  std::error_code ignored;
  if (root.empty() || !std::filesystem::exists(root / name, ignored)) return {};
  return root / name;
}

/// What to say when it is not there.
inline std::string missing_reference_data(std::string_view name) {
  return "no reference data " + std::string(name) + " (CMake variable QOMPOSE_REFERENCE_DATA)";
}

}  // namespace qompose_tests
