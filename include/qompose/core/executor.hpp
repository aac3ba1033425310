// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Who runs the pieces of a call: the executor concept and the serial executor.

#include <cstddef>

#include "qompose/core/config.hpp"

namespace qompose {

/// Runs `f(0) ... f(n - 1)`, in any order, on as many threads as it likes, and returns when all
/// are done. Results never depend on `concurrency()`: calls are cut by shape alone.
template <class E>
concept executor = requires(const E& e, std::size_t n, void (*f)(std::size_t)) {
  e.concurrency();
  e.for_each(n, f);
};

/// Everything on the calling thread, in order. The default everywhere.
struct serial {
  [[nodiscard]] QOMPOSE_INLINE constexpr std::size_t concurrency() const noexcept { return 1; }

  template <class F>
  QOMPOSE_INLINE void for_each(std::size_t n, F&& f) const {
    for (std::size_t i = 0; i < n; ++i) f(i);
  }
};

static_assert(executor<serial>);

}  // namespace qompose
