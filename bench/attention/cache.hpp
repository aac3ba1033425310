// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A `kv_cache<...>` as attention that rows can time.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attention/work.hpp"
#include "qompose/core/thread_pool.hpp"
#include "qompose/nn/attention.hpp"
#include "qompose/nn/kv_cache.hpp"

namespace qompose_bench {

template <class Cache>
class cache_attention final : public attention_work {
 public:
  explicit cache_attention(std::size_t tokens) : tokens_(tokens) { keep_copies(1); }

  void keep_copies(std::size_t count) override {
    while (caches_.size() > count) caches_.pop_back();
    while (caches_.size() < count) {
      caches_.push_back(std::make_unique<Cache>(n_kv_heads, head_dim, tokens_));
      caches_.back()->append(keys_of(tokens_), values_of(tokens_));
    }
  }
  void take(qp::matrix_view<const float> q, std::size_t threads) override {
    q_ = q;
    y_.assign(q.rows() * q.cols(), 0.0f);
    if (!threads_ || threads_->concurrency() != threads) threads_.emplace(threads);
  }
  void run(std::size_t copy) override {
    qp::attention(q_, *caches_[copy], qp::matrix_view<float>(y_.data(), q_.rows(), q_.cols()),
                  *threads_);
  }
  [[nodiscard]] qp::matrix_view<const float> results() const override {
    return {y_.data(), q_.rows(), q_.cols()};
  }
  [[nodiscard]] stored_head stored(std::size_t kv_head) const override {
    stored_head stored{std::vector<float>(tokens_ * head_dim),
                       std::vector<float>(tokens_ * head_dim)};
    for (std::size_t t = 0; t < tokens_; ++t) {
      caches_.front()->load_key(kv_head, t, {stored.keys.data() + t * head_dim, head_dim});
      caches_.front()->load_value(kv_head, t, {stored.values.data() + t * head_dim, head_dim});
    }
    return stored;
  }
  /// Integer keys meet queries of int8. Weights times scales of integer values are rounded to 127
  /// steps of the largest; scales of tokens are alike to a factor of two.
  [[nodiscard]] roundings rounded() const override {
    return {.queries = keys_are_integers ? 0.5 / 127 : 0.0,
            .weights = values_are_integers ? 1.0 / 127 : 0.0};
  }
  /// Exact, as the capacity is the number of tokens.
  [[nodiscard]] std::size_t cache_bytes() const override {
    return caches_.front()->storage_bytes();
  }
  [[nodiscard]] bool uses_integers() const override {
    return keys_are_integers && values_are_integers;
  }

 private:
  template <class Side>
  static constexpr bool is_integer = qp::detail::cache_codes<typename Side::spec>::has_integers;
  static constexpr bool keys_are_integers =
      is_integer<typename Cache::key_side> && !Cache::is_before_rope;
  static constexpr bool values_are_integers = is_integer<typename Cache::value_side>;

  std::size_t tokens_;
  std::vector<std::unique_ptr<Cache>> caches_;
  qp::matrix_view<const float> q_{nullptr, 0, 0};
  std::vector<float> y_;
  std::optional<qp::thread_pool> threads_;
};

/// Keys and values by the spec of each.
template <class Keys, class Values, class... KeyOptions>
using cache = qp::kv_cache<qp::keys<Keys, KeyOptions...>, qp::values<Values>>;

/// Adds `attention/<name>`.
/// @tparam Cache  a `kv_cache<...>`
template <class Cache>
void add_cache(const std::string& name) {
  attention_cases().push_back(
      {"attention/" + name, [](std::size_t tokens) -> std::unique_ptr<attention_work> {
         return std::make_unique<cache_attention<Cache>>(tokens);
       }});
}

}  // namespace qompose_bench
