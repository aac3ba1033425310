// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Clocks and medians: what every figure of these benchmarks is made of.

#include <time.h>

#include <algorithm>
#include <cstddef>
#include <vector>

namespace qompose_bench {

/// Seconds on the wall, or of this thread alone: other programs on a shared machine take their
/// share of the first and not of the second.
inline double seconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// The clock for work on so many threads.
inline clockid_t clock_of(std::size_t threads) {
  return threads == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
}

/// The middle value; 0 of none.
inline double median(std::vector<double> values) {
  if (values.empty()) return 0.0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace qompose_bench
