// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The elements of a row that are kept apart from its codes.

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "qompose/core/config.hpp"

namespace qompose::detail {

/// Moves the `kCount` elements of a row that lie farthest from its median to the median, the lower
/// of two middle ones, and remembers them; the first of equals.
template <std::size_t kCount, std::size_t kMost>
class row_outliers {
 public:
  /// @param x  n finite values, 1 .. kMost
  QOMPOSE_INLINE void take(float* x, std::size_t n) {
    count_ = std::min(kCount, n);
    float sorted[kMost];
    std::copy_n(x, n, sorted);
    std::nth_element(sorted, sorted + (n - 1) / 2, sorted + n);
    const float median = sorted[(n - 1) / 2];
    for (std::size_t i = 0; i < count_; ++i) {
      std::size_t farthest = 0;
      for (std::size_t j = 1; j < n; ++j) {
        if (std::abs(x[j] - median) > std::abs(x[farthest] - median)) farthest = j;
      }
      indices_[i] = farthest;
      values_[i] = x[farthest];
      x[farthest] = median;
    }
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t count() const noexcept { return count_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t index(std::size_t i) const noexcept {
    return indices_[i];
  }
  [[nodiscard]] QOMPOSE_INLINE float value(std::size_t i) const noexcept { return values_[i]; }

 private:
  std::size_t count_ = 0;
  std::size_t indices_[kCount] = {};
  float values_[kCount] = {};
};

}  // namespace qompose::detail
