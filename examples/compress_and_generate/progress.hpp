// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A line that says how long something will still take.

#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>

namespace demo {

/// Shows share and time left on stderr while something takes longer than five seconds; leaves
/// nothing behind. Silent unless stderr is a terminal.
class progress {
 public:
  explicit progress(std::string label)
      : label_(std::move(label)), is_terminal_(::isatty(STDERR_FILENO) != 0) {}
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress() {
    if (is_shown_) std::fputs("\r\033[K", stderr);
  }

  /// `done` of `total` equal steps are behind us.
  void update(std::size_t done, std::size_t total) {
    if (!is_terminal_ || done == 0 || done > total) return;
    const clock::time_point now = clock::now();
    const double passed = std::chrono::duration<double>(now - start_).count();
    const double share = static_cast<double>(done) / static_cast<double>(total);
    const double whole = passed / share;
    // The first steps say little about the rest; a short wait needs no line.
    if (passed < 0.5 || whole < 5.0 || now < next_) return;
    next_ = now + std::chrono::milliseconds(200);
    is_shown_ = true;
    std::fprintf(stderr, "\r\033[K%s %3.0f %%, %.0f s left", label_.c_str(), 100.0 * share,
                 whole - passed);
    std::fflush(stderr);
  }

 private:
  using clock = std::chrono::steady_clock;

  std::string label_;
  bool is_terminal_;
  bool is_shown_ = false;
  clock::time_point start_ = clock::now();
  clock::time_point next_ = start_;
};

}  // namespace demo
