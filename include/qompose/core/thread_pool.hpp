// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Executor on threads of its own that never waits for a thread without work.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/executor.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Tells the processor that a loop is only waiting.
QOMPOSE_INLINE void spin_pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// A fixed set of threads that take pieces of a call as they get to them.
///
/// A call is open from its first piece to its last; a thread that arrives late finds it closed and
/// is not waited for. So a thread that the operating system has put aside costs its share of the
/// speed and no more, where a barrier over all threads would stop the others until it is back.
///
/// Threads spin for `spin` after a call, as decoding makes hundreds of calls a token, and then
/// sleep. One caller at a time gets the threads; another one meanwhile runs its pieces itself, as
/// does a piece that makes a call of its own.
class thread_pool {
 public:
  /// @param threads  that work on a call, the caller's included, >= 1
  /// @param spin     how long idle threads stay awake
  explicit thread_pool(std::size_t threads,
                       std::chrono::microseconds spin = std::chrono::microseconds(200))
      : spin_(spin) {
    for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this] { work(); });
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;
  ~thread_pool() {
    stopping_.store(true);
    signal();
    for (std::thread& worker : workers_) worker.join();
  }

  [[nodiscard]] std::size_t concurrency() const noexcept { return workers_.size() + 1; }

  /// Runs f(0) ... f(n - 1); an exception of a piece is thrown again here, the first one if several
  /// fail.
  template <class F>
  void for_each(std::size_t n, F&& f) const {
    if (n <= 1 || workers_.empty() || busy_.test_and_set(std::memory_order_acquire)) {
      serial{}.for_each(n, f);
      return;
    }
    using function = std::remove_reference_t<F>;
    run_ = [](void* context, std::size_t i) { (*static_cast<function*>(context))(i); };
    context_ = const_cast<void*>(static_cast<const void*>(&f));
    pieces_ = n;
    next_.store(0, std::memory_order_relaxed);
    signal();
    take_pieces();
    // Closed: nobody enters any more, and those inside finish the piece they are at.
    state_.fetch_add(one_call, std::memory_order_acq_rel);
    while ((state_.load(std::memory_order_acquire) & inside_mask) != 0) detail::spin_pause();
    const std::exception_ptr failure = std::exchange(failure_, nullptr);
    busy_.clear(std::memory_order_release);
    if (failure) std::rethrow_exception(failure);
  }

 private:
  // The state counts calls in its upper half, odd while one is open, and the workers inside it in
  // its lower half: entering is one atomic step that fails once the call is closed.
  static constexpr std::uint64_t one_call = std::uint64_t{1} << 32;
  static constexpr std::uint64_t inside_mask = one_call - 1;

  [[nodiscard]] static bool is_open(std::uint64_t state) noexcept {
    return (state & one_call) != 0;
  }

  /// Opens a call (or announces the end) and wakes those who sleep.
  void signal() const {
    state_.fetch_add(one_call, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) state_.notify_all();
  }

  void take_pieces() const {
    std::size_t i = 0;
    while ((i = next_.fetch_add(1, std::memory_order_relaxed)) < pieces_) {
      try {
        run_(context_, i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(failure_mutex_);
        if (!failure_) failure_ = std::current_exception();
      }
    }
  }

  void work() const {
    std::uint64_t seen = 0;
    while (true) {
      std::uint64_t state = wait_for_change(seen);
      if (stopping_.load()) return;
      while (is_open(state)) {
        if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) continue;
        take_pieces();
        state_.fetch_sub(1, std::memory_order_acq_rel);
        break;
      }
      seen = state & ~inside_mask;
    }
  }

  /// The state once its count of calls differs from `seen`.
  [[nodiscard]] std::uint64_t wait_for_change(std::uint64_t seen) const {
    using clock = std::chrono::steady_clock;
    const auto changed = [&](std::uint64_t state) { return (state & ~inside_mask) != seen; };
    const auto deadline = clock::now() + spin_;
    while (clock::now() < deadline) {
      for (int i = 0; i < 64; ++i) {
        const std::uint64_t state = state_.load(std::memory_order_acquire);
        if (changed(state) || stopping_.load(std::memory_order_relaxed)) return state;
        detail::spin_pause();
      }
    }
    sleeping_.fetch_add(1, std::memory_order_seq_cst);
    std::uint64_t state = state_.load(std::memory_order_seq_cst);
    while (!changed(state) && !stopping_.load()) {
      state_.wait(state, std::memory_order_seq_cst);
      state = state_.load(std::memory_order_seq_cst);
    }
    sleeping_.fetch_sub(1, std::memory_order_seq_cst);
    return state;
  }

  std::chrono::microseconds spin_;
  mutable std::atomic_flag busy_;
  mutable std::mutex failure_mutex_;
  mutable std::exception_ptr failure_;
  mutable void (*run_)(void*, std::size_t) = nullptr;
  mutable void* context_ = nullptr;
  mutable std::size_t pieces_ = 0;
  mutable std::atomic<std::size_t> next_{0};
  alignas(64) mutable std::atomic<std::uint64_t> state_{0};
  mutable std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

static_assert(executor<thread_pool>);

}  // namespace QOMPOSE_ISA
}  // namespace qompose
