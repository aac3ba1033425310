// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Puts the file's path before the message of an error.

#include <filesystem>
#include <string>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// `f()`, with `path: ` put before the message of a @ref file_error, @ref shape_error or
/// @ref value_error.
template <class F>
auto naming_file(const std::filesystem::path& path, F&& f) {
  try {
    return f();
  } catch (const file_error& e) {
    throw file_error(path.string() + ": " + e.what());
  } catch (const shape_error& e) {
    throw shape_error(path.string() + ": " + e.what());
  } catch (const value_error& e) {
    throw value_error(path.string() + ": " + e.what());
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
