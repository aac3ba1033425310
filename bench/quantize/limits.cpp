// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief What memory allows: the limits that quantizing and dequantizing are measured against.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

/// Floats written: 4096 stay in L1, 2^24 go to memory.
void write_floats(benchmark::State& state) {
  std::vector<float> y(static_cast<std::size_t>(state.range(0)));
  float value = 0.0f;
  for (auto _ : state) {
    std::fill(y.begin(), y.end(), value);
    benchmark::ClobberMemory();
    value += 1.0f;
  }
  if (y.back() != value - 1.0f) return state.SkipWithError("a value is wrong");
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0) * 4);
}
BENCHMARK(write_floats)->Arg(4096)->Arg(1 << 24);

/// Floats read: sums of eight lanes, so that no addition waits for another.
void read_floats(benchmark::State& state) {
  const std::vector<float> x(static_cast<std::size_t>(state.range(0)), 1.0f);
  float lanes[64] = {};
  for (auto _ : state) {
    for (std::size_t i = 0; i < x.size(); i += 64) {
      for (std::size_t j = 0; j < 64; ++j) lanes[j] += x[i + j];
    }
    benchmark::DoNotOptimize(lanes);
  }
  if (!(lanes[63] > 0.0f)) return state.SkipWithError("a sum is wrong");
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0) * 4);
}
BENCHMARK(read_floats)->Arg(4096)->Arg(1 << 24);

}  // namespace
