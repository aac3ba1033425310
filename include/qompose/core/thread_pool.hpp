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

/// A fixed set of threads, each with a stretch of a call's pieces and a hand for those of others.
///
/// A thread takes the pieces of its own stretch in order, and then from the ends of the stretches
/// of others. So each reads one stream of weights in the order of memory, the same one at each
/// token, and those that are fast or alone do what is left.
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
      : spin_(spin), stretches_(threads) {
    for (std::size_t i = 1; i < threads; ++i) workers_.emplace_back([this, i] { work(i); });
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
    if (n <= 1 || n > most_pieces || workers_.empty() ||
        busy_.test_and_set(std::memory_order_acquire)) {
      serial{}.for_each(n, f);
      return;
    }
    using function = std::remove_reference_t<F>;
    run_ = [](void* context, std::size_t i) { (*static_cast<function*>(context))(i); };
    context_ = const_cast<void*>(static_cast<const void*>(&f));
    const std::uint64_t threads = stretches_.size();
    for (std::uint64_t i = 0; i < threads; ++i) {
      stretches_[i].set(n * i / threads, n * (i + 1) / threads);
    }
    signal();
    take_pieces(0);
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

  static constexpr std::size_t most_pieces = ~std::uint32_t{0};

  /// Pieces that nobody has taken yet, a line of the cache for each thread.
  class alignas(64) stretch {
   public:
    void set(std::uint64_t first, std::uint64_t last) noexcept {
      ends_.store(pack(first, last), std::memory_order_relaxed);
    }
    [[nodiscard]] bool take_first(std::size_t& piece) const noexcept {
      return take([&](std::uint64_t first, std::uint64_t last) {
        piece = static_cast<std::size_t>(first);
        return pack(first + 1, last);
      });
    }
    [[nodiscard]] bool take_last(std::size_t& piece) const noexcept {
      return take([&](std::uint64_t first, std::uint64_t last) {
        piece = static_cast<std::size_t>(last - 1);
        return pack(first, last - 1);
      });
    }

   private:
    // Both ends in one word, so that a piece that two threads want goes to one of them.
    static constexpr std::uint64_t pack(std::uint64_t first, std::uint64_t last) noexcept {
      return first << 32 | last;
    }
    template <class Shorten>
    bool take(const Shorten& shorten) const noexcept {
      std::uint64_t ends = ends_.load(std::memory_order_relaxed);
      std::uint64_t rest = 0;
      do {
        const std::uint64_t first = ends >> 32;
        const std::uint64_t last = ends & most_pieces;
        if (first >= last) return false;
        rest = shorten(first, last);
      } while (!ends_.compare_exchange_weak(ends, rest, std::memory_order_relaxed));
      return true;
    }

    mutable std::atomic<std::uint64_t> ends_{0};
  };

  [[nodiscard]] static bool is_open(std::uint64_t state) noexcept {
    return (state & one_call) != 0;
  }

  /// Opens a call (or announces the end) and wakes those who sleep.
  void signal() const {
    state_.fetch_add(one_call, std::memory_order_seq_cst);
    if (sleeping_.load(std::memory_order_seq_cst) > 0) state_.notify_all();
  }

  /// Runs the stretch of thread `own`, and then what the others have left.
  void take_pieces(std::size_t own) const {
    std::size_t i = 0;
    while (stretches_[own].take_first(i)) run_piece(i);
    for (std::size_t k = 1; k < stretches_.size(); ++k) {
      const stretch& other = stretches_[(own + k) % stretches_.size()];
      while (other.take_last(i)) run_piece(i);
    }
  }
  void run_piece(std::size_t i) const {
    try {
      run_(context_, i);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(failure_mutex_);
      if (!failure_) failure_ = std::current_exception();
    }
  }

  void work(std::size_t own) const {
    std::uint64_t seen = 0;
    while (true) {
      std::uint64_t state = wait_for_change(seen);
      if (stopping_.load()) return;
      while (is_open(state)) {
        if (!state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel)) continue;
        take_pieces(own);
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
  mutable std::vector<stretch> stretches_;  ///< of each thread; the caller has the first
  alignas(64) mutable std::atomic<std::uint64_t> state_{0};
  mutable std::atomic<int> sleeping_{0};
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> workers_;
};

static_assert(executor<thread_pool>);

}  // namespace QOMPOSE_ISA
}  // namespace qompose
