// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Something that computes attention over a cache and can be checked: ours or a peer's.

#include <algorithm>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "linear/inputs.hpp"
#include "options.hpp"
#include "qompose/analysis/cost.hpp"
#include "qompose/core/matrix_view.hpp"

namespace qompose_bench {

namespace qp = qompose;

/// The heads of every row, those of Llama 3 8B and many others.
inline constexpr std::size_t n_heads = 32;
inline constexpr std::size_t n_kv_heads = 8;
inline constexpr std::size_t head_dim = 128;
inline constexpr std::size_t head_group = n_heads / n_kv_heads;

/// Normal numbers, [n, cols], the same first rows whatever n. Making them takes longer than what
/// they are made for, so that the longest of each kind is kept.
template <std::uint64_t Seed>
qp::matrix_view<const float> normal_tokens(std::size_t n, std::size_t cols) {
  static std::vector<float> kept;
  if (kept.size() < n * cols) kept = normal_rows(n, cols, Seed);
  return {kept.data(), n, cols};
}
/// What every row attends to and with: scores spread by 1 around 0, so that a few hundred of the
/// tokens carry a result.
inline qp::matrix_view<const float> keys_of(std::size_t tokens) {
  return normal_tokens<3>(tokens, n_kv_heads * head_dim);
}
inline qp::matrix_view<const float> values_of(std::size_t tokens) {
  return normal_tokens<4>(tokens, n_kv_heads * head_dim);
}
inline qp::matrix_view<const float> queries_of(std::size_t queries) {
  return normal_tokens<5>(queries, n_heads * head_dim);
}

/// What a cache holds of one KV head, decoded: [tokens, head_dim].
struct stored_head {
  std::vector<float> keys;
  std::vector<float> values;
};

/// What a kernel rounds that floats would not: the largest errors, which are half a step where it
/// rounds to nearest. All 0 for a kernel that computes in floats.
struct roundings {
  double queries = 0.0;  ///< of an element of a query, relative to the largest of its head
  double weights = 0.0;  ///< of the weight of a token, relative to the largest weight
  double sums = 0.0;     ///< of the running sum of values, relative to it, at every token
};

/// A cache that is filled, and queries over its newest tokens.
class attention_work {
 public:
  attention_work() = default;
  attention_work(const attention_work&) = delete;
  attention_work& operator=(const attention_work&) = delete;
  virtual ~attention_work() = default;

  /// As many caches, each elsewhere in memory, as the layers of a model have them.
  virtual void keep_copies(std::size_t count) = 0;
  /// The next calls are for these queries, [n, n_heads * head_dim], on so many threads.
  virtual void take(qp::matrix_view<const float> q, std::size_t threads) = 0;
  /// Attends over cache `copy`; this is what is timed.
  virtual void run(std::size_t copy) = 0;
  /// What `run` computed, [n, n_heads * head_dim].
  [[nodiscard]] virtual qp::matrix_view<const float> results() const = 0;
  /// What the caches hold.
  [[nodiscard]] virtual stored_head stored(std::size_t kv_head) const = 0;
  /// What the kernel rounds.
  [[nodiscard]] virtual roundings rounded() const = 0;
  /// Of one cache: codes and scales of all its tokens.
  [[nodiscard]] virtual std::size_t cache_bytes() const = 0;
  /// Whether the multiply-adds are of int8, which says what peak they are compared with.
  [[nodiscard]] virtual bool uses_integers() const = 0;
};

/// Attention by name, made for a number of tokens when a row asks for it.
struct attention_case {
  std::string name;  ///< such as "attention/fp16_fp16"
  std::function<std::unique_ptr<attention_work>(std::size_t tokens)> make;
};

/// Every case, in the order of registration; files add theirs before main starts.
inline std::vector<attention_case>& attention_cases() {
  static std::vector<attention_case> cases;
  return cases;
}

/// The cost of one call: both products of every query with the tokens that it sees.
inline qp::layer_cost attention_cost(const attention_shape& at, std::size_t bytes,
                                     bool uses_integers) {
  const auto queries = static_cast<double>(at.queries);
  const double visible =
      queries * (static_cast<double>(at.tokens) - 0.5 * (queries - 1.0));  // 1 less each earlier
  const double width = static_cast<double>(n_heads * head_dim);
  return {.n_tokens = queries,
          .multiply_adds = 2.0 * width * visible,
          .weight_bytes = static_cast<double>(bytes),
          .activation_bytes = queries * width * sizeof(float),
          .result_bytes = queries * width * sizeof(float),
          .uses_integers = uses_integers,
          .cached_elements = 2.0 * queries * width};
}

}  // namespace qompose_bench
