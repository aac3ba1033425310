// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Executor on oneTBB tasks. Include it, and link `TBB::tbb`, to use it.

#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <cstddef>

#include "qompose/core/config.hpp"
#include "qompose/core/executor.hpp"

namespace qompose {

/// Runs pieces as oneTBB tasks in the arena of the calling thread; the caller's `task_arena` or
/// `global_control` decides how many threads that means.
struct tbb {
  [[nodiscard]] QOMPOSE_INLINE std::size_t concurrency() const noexcept {
    return static_cast<std::size_t>(::tbb::this_task_arena::max_concurrency());
  }

  template <class F>
  QOMPOSE_INLINE void for_each(std::size_t n, F&& f) const {
    ::tbb::parallel_for(std::size_t{0}, n, [&](std::size_t i) { f(i); });
  }
};

static_assert(executor<tbb>);

}  // namespace qompose
