// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What rows of layers and of attention share: names, and how calls are timed.

#include <benchmark/benchmark.h>

#include <cstddef>
#include <functional>
#include <string>

#include "options.hpp"
#include "qompose/analysis/cost.hpp"

namespace qompose_bench {

namespace qp = qompose;

/// How the calls of one row are timed.
struct timing {
  double least_seconds = 0.0;
  std::size_t threads = 1;
  std::size_t read_bytes = 0;     ///< that the limit of reading is measured with
  std::size_t untimed_calls = 0;  ///< after each measurement of the limits, which empties caches
};

/// Calls `run` until there are enough timings, between which the limits are measured, as other
/// users of a machine change them. Sets, as medians, the time and the counters that
/// linear/rows.hpp lists.
void time_calls(benchmark::State& state, const qp::layer_cost& cost, const timing& how,
                const std::function<void()>& run);

/// The end of a row's name.
inline std::string threads_of(std::size_t threads) {
  return threads == 1 ? "" : "/threads:" + std::to_string(threads);
}

/// Registers a row that times itself.
template <class Body>
void add_row(const std::string& name, const Body& body) {
  benchmark::RegisterBenchmark(name.c_str(), body)
      ->Iterations(1)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace qompose_bench
