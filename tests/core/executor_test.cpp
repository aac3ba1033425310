// SPDX-License-Identifier: Apache-2.0

#include "qompose/core/executor.hpp"

#include <atomic>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "support/catch.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;

TEST_CASE("serial: runs every index once, in order, on the calling thread", "[core][executor]") {
  std::vector<std::size_t> seen;
  qp::serial{}.for_each(5, [&](std::size_t i) { seen.push_back(i); });
  CHECK(seen == std::vector<std::size_t>{0, 1, 2, 3, 4});
  qp::serial{}.for_each(0, [](std::size_t) { FAIL("nothing to run"); });
  CHECK(qp::serial{}.concurrency() == 1);
  CHECK(std::is_empty_v<qp::serial>);
}

TEST_CASE("serial: an exception ends the loop and comes out", "[core][executor]") {
  std::size_t runs = 0;
  CHECK_THROWS_AS(qp::serial{}.for_each(9,
                                        [&](std::size_t i) {
                                          ++runs;
                                          if (i == 2) throw std::out_of_range("2");
                                        }),
                  std::out_of_range);
  CHECK(runs == 3);
}

#if defined(_OPENMP)
TEST_CASE("openmp: runs every index exactly once for any number of threads", "[core][executor]") {
  for (const int threads : {0, 1, 2, 3, 7}) {
    for (const std::size_t n : {0u, 1u, 2u, 5u, 100u}) {
      std::vector<std::atomic<int>> runs(n);
      qp::openmp{threads}.for_each(n, [&](std::size_t i) { ++runs[i]; });
      bool once = true;
      for (const auto& count : runs) once = once && count == 1;
      CHECK(once);
    }
  }
  CHECK(qp::openmp{3}.concurrency() == 3);
  CHECK(qp::openmp{}.concurrency() >= 1);
}

TEST_CASE("openmp: an exception leaves the parallel region as it was thrown", "[core][executor]") {
  for (const int threads : {1, 2, 4}) {
    const qp::openmp run{threads};
    CHECK_THROWS_WITH(run.for_each(50,
                                   [](std::size_t i) {
                                     if (i == 17) throw std::out_of_range("piece 17");
                                   }),
                      "piece 17");
    // Several pieces fail: one exception comes out, and the team still works afterwards.
    CHECK_THROWS_AS(run.for_each(50, [](std::size_t) { throw std::length_error("all"); }),
                    std::length_error);
    std::atomic<int> runs = 0;
    run.for_each(10, [&](std::size_t) { ++runs; });
    CHECK(runs == 10);
  }
}
#endif
