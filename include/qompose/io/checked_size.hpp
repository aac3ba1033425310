// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Arithmetic on sizes that a file claims.

#include <cstddef>
#include <span>
#include <string>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// a * b.
/// @throws qompose::file_error naming `what` when the product does not fit
[[nodiscard]] inline std::size_t checked_product(std::size_t a, std::size_t b,
                                                 const std::string& what) {
  std::size_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw file_error(what + ": size " + std::to_string(a) + " * " + std::to_string(b) +
                     " overflows");
  }
  return product;
}

/// a + b.
/// @throws qompose::file_error naming `what` when the sum does not fit
[[nodiscard]] inline std::size_t checked_sum(std::size_t a, std::size_t b,
                                             const std::string& what) {
  std::size_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    throw file_error(what + ": size " + std::to_string(a) + " + " + std::to_string(b) +
                     " overflows");
  }
  return sum;
}

/// A shape for humans: `[512, 64]`.
[[nodiscard]] inline std::string shape_text(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
