// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The exceptions that the library throws.

#include <stdexcept>
#include <string>

#include "qompose/core/config.hpp"

namespace qompose {

/// Base of every exception thrown by qompose. The message names the thing, what it got and what
/// it wanted.
class error : public std::runtime_error {
 public:
  QOMPOSE_INLINE explicit error(const std::string& message) : std::runtime_error(message) {}
};

/// Two shapes disagree.
class shape_error : public error {
 public:
  QOMPOSE_INLINE explicit shape_error(const std::string& message) : error(message) {}
};

/// A value that may not be there: NaN or infinity in weights, a code out of range.
class value_error : public error {
 public:
  QOMPOSE_INLINE explicit value_error(const std::string& message) : error(message) {}
};

/// An argument outside its range, such as a context of zero tokens.
class argument_error : public error {
 public:
  QOMPOSE_INLINE explicit argument_error(const std::string& message) : error(message) {}
};

/// A file that cannot be read, or that is not what it claims to be.
class file_error : public error {
 public:
  QOMPOSE_INLINE explicit file_error(const std::string& message) : error(message) {}
};

inline namespace QOMPOSE_ISA {

/// Throws @ref shape_error saying what had which shape and which one it needed.
/// @throws qompose::shape_error always
[[noreturn]] inline void throw_shape_error(const char* what, std::size_t rows, std::size_t cols,
                                           std::size_t wanted_rows, std::size_t wanted_cols) {
  throw shape_error(std::string(what) + ": shape [" + std::to_string(rows) + ", " +
                    std::to_string(cols) + "], expected [" + std::to_string(wanted_rows) + ", " +
                    std::to_string(wanted_cols) + "]");
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
