// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The fast Walsh-Hadamard transform, scalar reference.

#include <cstddef>

#include "qompose/core/config.hpp"

namespace qompose::detail {

/// Multiplies `length` floats, a power of two, by the Sylvester matrix of 1 and -1 in place:
/// strides 1, 2, 4, ..., each (a, b) -> (a + b, a - b).
QOMPOSE_INLINE void walsh_hadamard(float* row, std::size_t length) noexcept {
  for (std::size_t stride = 1; stride < length; stride *= 2) {
    for (std::size_t start = 0; start < length; start += 2 * stride) {
      for (std::size_t i = start; i < start + stride; ++i) {
        const float a = row[i];
        const float b = row[i + stride];
        row[i] = a + b;
        row[i + stride] = a - b;
      }
    }
  }
}

}  // namespace qompose::detail
