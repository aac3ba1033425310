// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The executor that the program was built with.

#include <algorithm>
#include <thread>

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#else
#include "qompose/core/executor.hpp"
#endif

namespace demo {

#if defined(_OPENMP)
using threads = qompose::openmp;
inline threads make_threads(int n) { return {n}; }
inline int default_threads() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}
inline constexpr int most_threads = 1024;
#else
using threads = qompose::serial;
inline threads make_threads(int) { return {}; }
inline int default_threads() { return 1; }
inline constexpr int most_threads = 1;
#endif

}  // namespace demo
