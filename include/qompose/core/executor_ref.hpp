// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Any executor behind one type, for calls whose callee is chosen at run time.

#include <cstddef>
#include <memory>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/core/executor.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Piece i of a call behind a pointer.
template <class F>
void call_piece(const void* f, std::size_t i) {
  (*static_cast<const F*>(f))(i);
}

/// `n` pieces behind a pointer, on the executor behind another one.
template <executor Executor>
void run_pieces(const void* run, std::size_t n, const void* f,
                void (*call)(const void*, std::size_t)) {
  static_cast<const Executor*>(run)->for_each(n, [&](std::size_t i) { call(f, i); });
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// Refers to an executor of any type, which has to outlive it.
/// @par Cost  a call by address for each piece
class executor_ref {
 public:
  template <executor Executor>
    requires(!std::is_same_v<Executor, executor_ref>)
  QOMPOSE_INLINE explicit executor_ref(const Executor& run)
      : run_(std::addressof(run)),
        for_each_(&detail::run_pieces<Executor>),
        concurrency_(run.concurrency()) {}

  [[nodiscard]] QOMPOSE_INLINE std::size_t concurrency() const noexcept { return concurrency_; }

  template <class F>
  QOMPOSE_INLINE void for_each(std::size_t n, const F& f) const {
    for_each_(run_, n, std::addressof(f), &detail::call_piece<F>);
  }

 private:
  const void* run_;
  void (*for_each_)(const void*, std::size_t, const void*, void (*)(const void*, std::size_t));
  std::size_t concurrency_;
};

static_assert(executor<executor_ref>);

}  // namespace qompose
