// SPDX-License-Identifier: Apache-2.0

#include "qompose/core/thread_pool.hpp"

#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace qp = qompose;

TEST_CASE("thread_pool: every piece runs once, in many calls of many sizes", "[core][threads]") {
  const qp::thread_pool pool(4);
  CHECK(pool.concurrency() == 4);
  for (std::size_t call = 0; call < 3000; ++call) {
    const std::size_t n = call % 37;
    std::vector<std::atomic<int>> runs(n);
    pool.for_each(n, [&](std::size_t i) { ++runs[i]; });
    for (const auto& count : runs) REQUIRE(count == 1);
  }
}

TEST_CASE("thread_pool: threads that fell asleep wake up", "[core][threads]") {
  const qp::thread_pool pool(3, std::chrono::microseconds(0));
  for (int call = 0; call < 20; ++call) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::atomic<int> sum{0};
    pool.for_each(50, [&](std::size_t i) { sum += static_cast<int>(i); });
    REQUIRE(sum == 1225);
  }
}

TEST_CASE("thread_pool: the workers take part", "[core][threads]") {
  const qp::thread_pool pool(2);
  // The caller's piece waits for the other one, which only another thread can run.
  std::atomic<int> arrived{0};
  pool.for_each(2, [&](std::size_t) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
  });
  CHECK(arrived == 2);
}

TEST_CASE("thread_pool: each thread runs its stretch in order, and others' from the end",
          "[core][threads]") {
  constexpr std::size_t n = 101;
  const qp::thread_pool pool(3);
  for (int call = 0; call < 200; ++call) {
    std::vector<std::thread::id> threads(n);
    std::vector<std::size_t> order(n);
    std::atomic<std::size_t> count{0};
    pool.for_each(n, [&](std::size_t i) {
      const std::size_t at = count++;
      order[at] = i;
      threads[at] = std::this_thread::get_id();
    });
    REQUIRE(count == n);
    // The caller's stretch is the first third.
    std::vector<std::size_t> own;
    std::vector<std::size_t> taken_by_others;
    for (std::size_t at = 0; at < n; ++at) {
      if (order[at] >= n / 3) continue;
      (threads[at] == std::this_thread::get_id() ? own : taken_by_others).push_back(order[at]);
    }
    for (std::size_t k = 0; k < own.size(); ++k) REQUIRE(own[k] == k);
    for (const std::size_t piece : taken_by_others) REQUIRE(piece >= own.size());
  }
}

TEST_CASE("thread_pool: an exception of a piece reaches the caller, and the pool lives on",
          "[core][threads]") {
  const qp::thread_pool pool(3);
  for (int call = 0; call < 100; ++call) {
    CHECK_THROWS_AS(pool.for_each(40,
                                  [](std::size_t i) {
                                    if (i == 17) throw std::runtime_error("piece 17");
                                  }),
                    std::runtime_error);
    std::atomic<int> runs{0};
    pool.for_each(5, [&](std::size_t) { ++runs; });
    REQUIRE(runs == 5);
  }
}

TEST_CASE("thread_pool: a call inside a piece, and calls of several threads, run",
          "[core][threads]") {
  const qp::thread_pool pool(2);
  std::atomic<int> inner{0};
  pool.for_each(4, [&](std::size_t) { pool.for_each(3, [&](std::size_t) { ++inner; }); });
  CHECK(inner == 12);

  std::atomic<int> total{0};
  std::vector<std::thread> callers;
  for (int c = 0; c < 3; ++c) {
    callers.emplace_back([&] {
      for (int call = 0; call < 200; ++call) pool.for_each(10, [&](std::size_t) { ++total; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  CHECK(total == 3 * 200 * 10);
}
