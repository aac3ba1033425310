// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Executor on OpenMP threads. Include it, and build with `-fopenmp`, to use it.

#if !defined(_OPENMP)
#error "qompose: core/openmp.hpp needs -fopenmp; without it use qompose::serial"
#endif

#include <omp.h>

#include <cstddef>
#include <exception>

#include "qompose/core/config.hpp"
#include "qompose/core/executor.hpp"

namespace qompose {

/// Runs pieces on a team of OpenMP threads, each taking the next piece when it is free.
///
/// @note `OMP_WAIT_POLICY=passive` costs some 80 us a call; leave it at its default.
struct openmp {
  /// Number of threads, 0 for what OpenMP thinks right.
  int threads = 0;

  [[nodiscard]] QOMPOSE_INLINE std::size_t concurrency() const noexcept {
    return static_cast<std::size_t>(threads > 0 ? threads : omp_get_max_threads());
  }

  template <class F>
  QOMPOSE_INLINE void for_each(std::size_t n, F&& f) const {
    if (n <= 1 || concurrency() == 1) {
      serial{}.for_each(n, f);
      return;
    }
    // An exception must not leave a parallel region; the first one is carried out of it.
    std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 1) num_threads(static_cast<int>(concurrency()))
    for (std::size_t i = 0; i < n; ++i) {
      try {
        f(i);
      } catch (...) {
#pragma omp critical(qompose_openmp_failure)
        if (!failure) failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
  }
};

static_assert(executor<openmp>);

}  // namespace qompose
