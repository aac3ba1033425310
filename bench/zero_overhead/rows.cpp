// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Checks and times composed layers and layers written by hand, in turn.

#include "zero_overhead/rows.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "clock.hpp"
#include "limits.hpp"
#include "linear/inputs.hpp"
#include "linear/layer.hpp"
#include "linear/reference.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/recipe/presets.hpp"
#include "zero_overhead/hand_loop.hpp"

namespace qompose_bench {
namespace {

struct comparison {
  shape size;
  std::size_t tokens = 1;
  bool is_cold = false;
};

/// A composed layer and its hand-written twins.
template <class Recipe>
class pair_of_layers {
 public:
  pair_of_layers(const comparison& at, std::size_t copies)
      : composed_(at.size),
        tokens_(repeated_tokens(at.tokens, at.size.in)),
        y_(at.tokens * at.size.out) {
    composed_.keep_copies(copies);
    composed_.take(x(), 1);
  }

  [[nodiscard]] qp::layer_cost cost() const { return composed_.cost(x().rows()); }
  void run_composed(std::size_t copy) { composed_.run(copy); }
  void run_hand(const hand_loop& hand, std::size_t copy) {
    const auto& layer = composed_.copy(copy);
    const qp::detail::panel_pointers p = layer.weights().pointers();
    const hand_weights weights{layer.out_features(), layer.in_features(), p.panels, p.scales,
                               p.row_scales};
    hand.run(weights, tokens_.data(), x().rows(), y_.data(), scratch_);
  }

  /// What is wrong with either side, or nothing.
  std::string fault(const std::vector<hand_loop>& versions) {
    const std::size_t distinct = std::min(x().rows(), distinct_tokens);
    const expected_products expected = composed_.expect({tokens_.data(), distinct, x().cols()});
    const auto check = [&](const char* who, qp::matrix_view<const float> y) {
      const std::string found = fault_of(expected, distinct, composed_.distinct_rows(), y);
      return found.empty() ? found : std::string(who) + ": " + found;
    };
    composed_.run(0);
    std::string found = check("composed", composed_.results());
    for (const hand_loop& hand : versions) {
      if (!found.empty() || !hand.runs_here) continue;
      std::fill(y_.begin(), y_.end(), 0.0f);
      run_hand(hand, 0);
      found = check(hand.way, {y_.data(), x().rows(), y_.size() / x().rows()});
    }
    return found;
  }

 private:
  [[nodiscard]] qp::matrix_view<const float> x() const {
    const std::size_t cols = composed_.copy(0).in_features();
    return {tokens_.data(), tokens_.size() / cols, cols};
  }

  layer_product<Recipe> composed_;
  std::vector<float> tokens_;
  std::vector<float> y_;
  hand_scratch scratch_;
};

/// Medians over slices of one side's speed.
struct side {
  std::vector<double> times;
  std::vector<double> of_read;
  std::vector<double> of_peak;

  void report(benchmark::State& state, const std::string& prefix, const qp::layer_cost& cost) {
    const double middle = median(times);
    state.counters[prefix + "GB/s"] = cost.weight_bytes / middle * 1e-9;
    state.counters[prefix + "GOP/s"] = cost.operations() / middle * 1e-9;
    state.counters[prefix + "of_read"] = median(of_read);
    state.counters[prefix + "of_peak"] = median(of_peak);
  }
};

std::size_t copies_of(std::size_t bytes) {
  return std::max<std::size_t>(2, cold_bytes() / bytes + 1);
}

template <class Recipe>
void time_row(benchmark::State& state, const std::vector<hand_loop>& versions, const comparison& at,
              double least_seconds) {
  // Twins have to be of the same instruction set: a program built for AVX2 alone has no other.
  const bool has_512 = std::string_view(qp::target_name()).starts_with("AVX3_");
  const auto best = std::find_if(versions.begin(), versions.end(), [&](const hand_loop& hand) {
    return hand.runs_here && (has_512 || hand.way == std::string_view("AVX2"));
  });
  if (best == versions.end()) return state.SkipWithError("not run: no AVX2");
  const auto bytes =
      static_cast<std::size_t>(pair_of_layers<Recipe>({at.size}, 1).cost().weight_bytes);
  const std::size_t copies = at.is_cold ? copies_of(bytes) : 1;
  pair_of_layers<Recipe> layers(at, copies);
  const std::string fault = layers.fault(versions);
  if (!fault.empty()) return state.SkipWithError(fault.c_str());

  const qp::layer_cost cost = layers.cost();
  const std::size_t slices = least_seconds < 0.05 ? 1 : 7;
  const std::size_t read_bytes = at.is_cold ? cold_bytes() : bytes;
  side composed;
  side hand;
  std::vector<double> ratios;
  std::size_t copy = 0;
  const auto timed = [&](bool by_hand) {
    const double start = seconds(clock_of(1));
    if (by_hand) {
      layers.run_hand(*best, copy);
    } else {
      layers.run_composed(copy);
    }
    const double taken = seconds(clock_of(1)) - start;
    copy = (copy + 1) % copies;
    return taken;
  };
  for (auto _ : state) {
    for (std::size_t slice = 0; slice < slices; ++slice) {
      // The limits of now; what they displace from the caches is read back untimed.
      const double read = read_limit(read_bytes, 1).per_second;
      const double peak = integer_limit(1).per_second;
      for (std::size_t i = 0; i < (at.tokens == 1 ? 4u : 2u); ++i) (void)timed(i % 2 == 1);
      std::vector<double> composed_times;
      std::vector<double> hand_times;
      double sum = 0.0;
      for (bool hand_first = false; sum < 2.0 * least_seconds / static_cast<double>(slices);
           hand_first = !hand_first) {
        // Each goes first every other time, so that a drift favours neither.
        const double first = timed(hand_first);
        const double second = timed(!hand_first);
        composed_times.push_back(hand_first ? second : first);
        hand_times.push_back(hand_first ? first : second);
        sum += first + second;
      }
      ratios.push_back(median(composed_times) / median(hand_times));
      for (const auto& [one, times] :
           {std::pair(&composed, &composed_times), std::pair(&hand, &hand_times)}) {
        one->of_read.push_back(cost.weight_bytes / median(*times) / read);
        one->of_peak.push_back(cost.operations() / median(*times) / peak);
        one->times.insert(one->times.end(), times->begin(), times->end());
      }
    }
    state.SetIterationTime(median(composed.times));
  }
  state.SetLabel(best->way);
  state.counters["ratio"] = median(ratios);
  composed.report(state, "", cost);
  hand.report(state, "hand_", cost);
}

template <class Recipe>
void add(const std::string& name, const row_options& options,
         const std::vector<hand_loop>& versions) {
  for (const shape& wanted : options.shapes) {
    const shape size{qp::round_up(wanted.out, hand_rows), qp::round_up(wanted.in, hand_group)};
    for (const comparison& at :
         {comparison{size, 1, false}, comparison{size, 1, true}, comparison{size, 128, false}}) {
      const std::string heat = at.tokens > 1 ? "" : at.is_cold ? "/cold" : "/hot";
      benchmark::RegisterBenchmark(
          ("zero_overhead/" + name + "/" + std::to_string(size.out) + "x" +
           std::to_string(size.in) + "/n:" + std::to_string(at.tokens) + heat)
              .c_str(),
          [=, least = options.seconds](benchmark::State& state) {
            time_row<Recipe>(state, versions, at, least);
          })
          ->Iterations(1)
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace

void register_zero_overhead_rows(const row_options& options) {
#if defined(__x86_64__)
  add<qp::w8a8>("w8a8", options, {w8a8_avx512(), w8a8_avx2()});
  add<qp::w4a8_g128>("w4a8_g128", options, {w4a8_g128_avx512(), w4a8_g128_avx2()});
  add<qp::recipe<qp::weight<qp::w4_progressive>, qp::activation<qp::a8_token>,
                 qp::transform<qp::block_hadamard<hand_group>>>>(
      "two_level", options, {two_level_avx512(), two_level_avx2()});
#else
  add<qp::w8a8>("w8a8", options, {});
#endif
}

}  // namespace qompose_bench
