// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Measures the limits of limits.hpp.

#include "limits.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <thread>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "machine_loops.hpp"
#include "qompose/core/aligned_buffer.hpp"

namespace qompose_bench {
namespace {

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// Median seconds of `work(thread)`, started by all threads at once.
double seconds_of(std::size_t threads, std::size_t rounds,
                  const std::function<void(std::size_t)>& work) {
  if (threads == 1) {
    std::vector<double> taken;
    for (std::size_t i = 0; i < rounds; ++i) {
      const double start = seconds(CLOCK_THREAD_CPUTIME_ID);
      work(0);
      taken.push_back(seconds(CLOCK_THREAD_CPUTIME_ID) - start);
    }
    return median(taken);
  }
  std::vector<double> taken;
  std::atomic<std::size_t> arrived{0};
  const auto wait_for = [&](std::size_t count) {
    arrived.fetch_add(1);
    while (arrived.load(std::memory_order_acquire) < count) {
    }
  };
  const auto run = [&](std::size_t thread) {
    for (std::size_t i = 0; i < rounds; ++i) {
      wait_for((2 * i + 1) * threads);
      const double start = seconds(CLOCK_MONOTONIC);
      work(thread);
      wait_for((2 * i + 2) * threads);
      if (thread == 0) taken.push_back(seconds(CLOCK_MONOTONIC) - start);
    }
  };
  std::vector<std::thread> others;
  for (std::size_t i = 1; i < threads; ++i) others.emplace_back(run, i);
  run(0);
  for (std::thread& other : others) other.join();
  return median(taken);
}

limit measure_registers(const register_loop& loop, std::size_t threads) {
  constexpr std::size_t steps = 100'000;
  const double time = seconds_of(threads, 7, [&](std::size_t) { loop.run(steps); });
  return {static_cast<double>(steps * threads) * loop.operations / time, loop.name};
}

/// The one buffer that everything is read from: clearing pages takes longer than reading them.
const std::uint8_t* buffer_of(std::size_t bytes) {
  static qompose::aligned_buffer<std::uint8_t> buffer(std::max(bytes, cold_bytes()));
  if (buffer.size() < bytes) buffer = qompose::aligned_buffer<std::uint8_t>(bytes);
  return buffer.data();
}

limit measure_read(const read_loop& loop, std::size_t bytes, std::size_t threads) {
  // Whole steps of every loop for every thread.
  const std::size_t share = std::max<std::size_t>(bytes / threads / 1024, 1) * 1024;
  const std::uint8_t* data = buffer_of(share * threads);
  const std::size_t passes = std::max<std::size_t>(1, 16 * mebibyte / (share * threads));
  const std::size_t rounds = share * threads > 64 * mebibyte ? 3 : 7;
  const double time = seconds_of(threads, rounds, [&](std::size_t thread) {
    for (std::size_t i = 0; i < passes; ++i) loop.run(data + thread * share, share);
  });
  return {static_cast<double>(share * threads * passes) / time, loop.name};
}

}  // namespace

std::size_t cache_bytes(int level) {
  long bytes = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
  bytes = sysconf(level == 1   ? _SC_LEVEL1_DCACHE_SIZE
                  : level == 2 ? _SC_LEVEL2_CACHE_SIZE
                               : _SC_LEVEL3_CACHE_SIZE);
#endif
  if (bytes > 0) return static_cast<std::size_t>(bytes);
  return level == 1 ? mebibyte / 32 : level == 2 ? mebibyte / 2 : 32 * mebibyte;
}

std::size_t cold_bytes() { return std::clamp(4 * cache_bytes(3), 256 * mebibyte, 1024 * mebibyte); }

limit read_limit(std::size_t bytes, std::size_t threads) {
  static std::map<std::pair<std::size_t, std::size_t>, read_loop> fastest;
  const auto known = fastest.find({bytes, threads});
  if (known != fastest.end()) return measure_read(known->second, bytes, threads);
  limit best;
  for (const read_loop& loop : read_loops()) {
    // Twice, as the buffer may be new and what ran before may still be written back.
    (void)measure_read(loop, bytes, threads);
    const limit measured = measure_read(loop, bytes, threads);
    if (measured.per_second <= best.per_second) continue;
    best = measured;
    fastest[{bytes, threads}] = loop;
  }
  return best;
}
limit integer_limit(std::size_t threads) { return measure_registers(integer_dot_loop(), threads); }
limit short_sum_limit(std::size_t threads) { return measure_registers(short_sum_loop(), threads); }
limit float_limit(std::size_t threads) { return measure_registers(float_loop(), threads); }

}  // namespace qompose_bench
