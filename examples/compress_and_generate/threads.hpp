// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The threads that the program runs on.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <thread>

#include "qompose/core/thread_pool.hpp"

namespace demo {

/// A pool that copies share.
class threads {
 public:
  explicit threads(int n = 1)
      : pool_(std::make_shared<const qompose::thread_pool>(static_cast<std::size_t>(n))) {}

  [[nodiscard]] std::size_t concurrency() const { return pool_->concurrency(); }
  template <class F>
  void for_each(std::size_t n, F&& f) const {
    pool_->for_each(n, f);
  }

 private:
  std::shared_ptr<const qompose::thread_pool> pool_;
};

inline threads make_threads(int n) { return threads(n); }
inline int default_threads() {
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}
inline constexpr int most_threads = 1024;

}  // namespace demo
