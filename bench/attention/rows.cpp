// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Checks and times the rows of rows.hpp.

#include "attention/rows.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>

#include "attention/reference.hpp"
#include "attention/work.hpp"
#include "limits.hpp"
#include "row.hpp"

namespace qompose_bench {
namespace {

bool is_prefill(const attention_shape& at) { return at.queries >= 32; }

/// The caches that the last row used: neighbours share them, and only one is in memory.
attention_work& made(const attention_case& source, std::size_t tokens) {
  static std::string name;
  static std::size_t last = 0;
  static std::unique_ptr<attention_work> kept;
  if (!kept || name != source.name || last != tokens) {
    kept.reset();
    kept = source.make(tokens);
    name = source.name;
    last = tokens;
  }
  return *kept;
}

void time_row(benchmark::State& state, const attention_case& source, const attention_shape& at,
              std::size_t threads, double least_seconds) {
  if (at.queries > at.tokens) throw std::runtime_error("not run: more queries than tokens");
  attention_work& work = made(source, at.tokens);
  const std::size_t bytes = work.cache_bytes();
  std::size_t copies = 1;
  if (!is_prefill(at)) {
    copies = is_check_only(least_seconds) ? 2 : std::max<std::size_t>(2, cold_bytes() / bytes + 1);
  }
  work.keep_copies(copies);
  const qp::matrix_view<const float> q = queries_of(at.queries);
  work.take(q, threads);
  work.run(copies - 1);
  const std::string fault = fault_of(work, q, at.tokens);
  if (!fault.empty()) return state.SkipWithError(fault.c_str());

  std::size_t copy = 0;
  time_calls(state, attention_cost(at, bytes, work.uses_integers()),
             {.least_seconds = least_seconds,
              .threads = threads,
              .read_bytes = is_prefill(at) ? bytes : cold_bytes(),
              .untimed_calls = is_prefill(at) ? 0u : 1u},
             [&] {
               work.run(copy);
               copy = (copy + 1) % copies;
             });
  work.keep_copies(1);
}

}  // namespace

void register_attention_rows(const row_options& options) {
  for (const attention_case& source : attention_cases()) {
    for (const attention_shape& at : options.attention) {
      for (const std::size_t threads : options.threads) {
        add_row(source.name + (is_prefill(at) ? "/prefill_" : "/decode_") +
                    std::to_string(at.queries) + "x" + std::to_string(at.tokens) +
                    threads_of(threads),
                [=, least = options.seconds](benchmark::State& state) {
                  try {
                    time_row(state, source, at, threads, least);
                  } catch (const std::exception& failure) {
                    // What a peer lacks on this processor.
                    state.SkipWithError(failure.what());
                  }
                });
      }
    }
  }
}

}  // namespace qompose_bench
