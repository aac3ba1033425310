// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Checks and times the rows of rows.hpp.

#include "linear/rows.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "clock.hpp"
#include "limits.hpp"
#include "linear/inputs.hpp"
#include "linear/product.hpp"
#include "linear/reference.hpp"
#include "row.hpp"

namespace qompose_bench {
namespace {

struct row {
  shape size;
  std::size_t tokens = 1;
  std::size_t threads = 1;
  bool is_cold = false;
};

/// The product that the last row used: neighbours share it, and only one is in memory.
product& made(const product_case& source, const shape& size) {
  static std::string name;
  static shape last;
  static std::unique_ptr<product> kept;
  if (!kept || name != source.name || last.out != size.out || last.in != size.in) {
    kept.reset();
    kept = source.make(size);
    name = source.name;
    last = size;
  }
  return *kept;
}

void time_row(benchmark::State& state, const product_case& source, const row& at,
              double least_seconds) {
  product& work = made(source, at.size);
  const qp::layer_cost cost = work.cost(at.tokens);
  const auto weight_bytes = static_cast<std::size_t>(cost.weight_bytes);
  const std::size_t copies =
      at.is_cold ? std::max<std::size_t>(2, cold_bytes() / weight_bytes + 1) : 1;
  work.keep_copies(copies);

  const std::vector<float> tokens = repeated_tokens(at.tokens, at.size.in);
  work.take({tokens.data(), at.tokens, at.size.in}, at.threads);
  work.run(copies - 1);
  const std::size_t distinct = std::min(at.tokens, distinct_tokens);
  const std::string fault = fault_of(work.expect({tokens.data(), distinct, at.size.in}), distinct,
                                     work.distinct_rows(), work.results());
  if (!fault.empty()) return state.SkipWithError(fault.c_str());

  std::size_t copy = 0;
  time_calls(state, cost,
             {.least_seconds = least_seconds,
              .threads = at.threads,
              .read_bytes = at.is_cold ? cold_bytes() : weight_bytes,
              .untimed_calls = at.tokens == 1 ? 2u : 1u},
             [&] {
               work.run(copy);
               copy = (copy + 1) % copies;
             });
  work.keep_copies(1);
}

std::string name_of(const shape& size) {
  return std::to_string(size.out) + "x" + std::to_string(size.in);
}

void add_limit(const std::string& name, const char* counter, limit (*measure)(std::size_t),
               std::size_t threads) {
  add_row("limit/" + name + threads_of(threads), [=](benchmark::State& state) {
    std::vector<double> rates;
    for (auto _ : state) {
      limit measured;
      for (int i = 0; i < 15; ++i) {
        measured = measure(threads);
        rates.push_back(measured.per_second);
      }
      state.SetLabel(measured.way);
      state.SetIterationTime(1e9 / median(rates));
    }
    state.counters[counter] = median(rates) * 1e-9;
  });
}

}  // namespace

void register_product_rows(const row_options& options) {
  for (const product_case& source : product_cases()) {
    for (const shape& size : options.shapes) {
      for (const std::size_t tokens : options.tokens) {
        for (const bool is_cold : {false, true}) {
          if (is_cold && tokens > 1) continue;
          for (const std::size_t threads : options.threads) {
            const row at{size, tokens, threads, is_cold};
            const std::string heat = tokens > 1 ? "" : is_cold ? "/cold" : "/hot";
            add_row(source.name + "/" + name_of(size) + "/n:" + std::to_string(tokens) + heat +
                        threads_of(threads),
                    [=, least = options.seconds](benchmark::State& state) {
                      try {
                        time_row(state, source, at, least);
                      } catch (const std::exception& failure) {
                        // What a peer lacks on this processor.
                        state.SkipWithError(failure.what());
                      }
                    });
          }
        }
      }
    }
  }
}

void register_limit_rows(const row_options& options) {
  for (const std::size_t threads : options.threads) {
    add_limit("integer_dot", "GOP/s", &integer_limit, threads);
    add_limit("short_sums", "GOP/s", &short_sum_limit, threads);
    add_limit("float", "GOP/s", &float_limit, threads);
    add_limit(
        "read/L1", "GB/s", [](std::size_t t) { return read_limit(t * cache_bytes(1) / 2, t); },
        threads);
    add_limit(
        "read/L2", "GB/s", [](std::size_t t) { return read_limit(t * cache_bytes(2) / 2, t); },
        threads);
    add_limit(
        "read/L3", "GB/s", [](std::size_t t) { return read_limit(cache_bytes(3) / 4, t); },
        threads);
    add_limit(
        "read/cold", "GB/s", [](std::size_t t) { return read_limit(cold_bytes(), t); }, threads);
  }
}

}  // namespace qompose_bench
