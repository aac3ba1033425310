// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Times the calls of row.hpp.

#include "row.hpp"

#include "clock.hpp"
#include "limits.hpp"

namespace qompose_bench {
namespace {

/// The limits of now, for a call that reads so many bytes.
qp::machine measure_machine(std::size_t bytes, std::size_t threads) {
  return {.integer_operations = integer_limit(threads).per_second,
          .float_operations = float_limit(threads).per_second,
          .bandwidth = read_limit(bytes, threads).per_second};
}

}  // namespace

void time_calls(benchmark::State& state, const qp::layer_cost& cost, const timing& how,
                const std::function<void()>& run) {
  const std::size_t slices = is_check_only(how.least_seconds) ? 1 : 5;
  const clockid_t clock = clock_of(how.threads);
  std::vector<double> all;
  std::vector<double> of_read;
  std::vector<double> of_peak;
  std::vector<double> of_bound;
  double total = 0.0;
  for (auto _ : state) {
    // Of calls that take seconds, a few are enough.
    for (std::size_t slice = 0; slice < slices && total < 10.0 * how.least_seconds; ++slice) {
      // What measuring the limits displaces from the caches is read back untimed.
      const qp::machine machine = measure_machine(how.read_bytes, how.threads);
      for (std::size_t i = 0; i < how.untimed_calls; ++i) run();
      std::vector<double> taken;
      double sum = 0.0;
      while (sum < how.least_seconds / static_cast<double>(slices)) {
        const double start = seconds(clock);
        run();
        taken.push_back(seconds(clock) - start);
        sum += taken.back();
      }
      total += sum;
      const double middle = median(taken);
      of_read.push_back(cost.weight_bytes / middle / machine.bandwidth);
      of_peak.push_back(cost.operations() / middle / machine.operations(cost.uses_integers));
      of_bound.push_back(qp::least_seconds(cost, machine) / middle);
      all.insert(all.end(), taken.begin(), taken.end());
    }
    state.SetIterationTime(median(all));
  }
  const double middle = median(all);
  state.counters["GB/s"] = cost.weight_bytes / middle * 1e-9;
  state.counters["GOP/s"] = cost.operations() / middle * 1e-9;
  state.counters["of_read"] = median(of_read);
  state.counters["of_peak"] = median(of_peak);
  state.counters["of_bound"] = median(of_bound);
  state.counters["bytes"] = cost.weight_bytes;
}

}  // namespace qompose_bench
