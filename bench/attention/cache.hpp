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
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"

namespace qompose_bench {

/// What a side of a cache makes of the rows of one head, [tokens, head_dim], by the reference: each
/// row as a row of a matrix. Specs whose scales cross tokens need an overload.
template <class Spec>
std::vector<float> stored_rows(qp::matrix_view<const float> tokens, std::size_t kv_head) {
  std::vector<float> rows(tokens.rows() * head_dim);
  for (std::size_t t = 0; t < tokens.rows(); ++t) {
    std::copy_n(tokens.row(t) + kv_head * head_dim, head_dim, rows.data() + t * head_dim);
  }
  const qp::matrix_view<float> view(rows.data(), tokens.rows(), head_dim);
  const auto q = qp::quantize<Spec>(qp::matrix_view<const float>(view));
  qp::dequantize(q, view);
  return rows;
}

template <class Cache>
class cache_attention final : public attention_work {
 public:
  cache_attention(std::size_t tokens, const roundings& rounded, bool uses_integers)
      : tokens_(tokens), rounded_(rounded), uses_integers_(uses_integers) {
    keep_copies(1);
  }

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
    return {stored_rows<typename Cache::key_spec>(keys_of(tokens_), kv_head),
            stored_rows<typename Cache::value_spec>(values_of(tokens_), kv_head)};
  }
  [[nodiscard]] roundings rounded() const override { return rounded_; }
  /// Exact, as the capacity is the number of tokens.
  [[nodiscard]] std::size_t cache_bytes() const override {
    return caches_.front()->storage_bytes();
  }
  [[nodiscard]] bool uses_integers() const override { return uses_integers_; }

 private:
  std::size_t tokens_;
  roundings rounded_;
  bool uses_integers_;
  std::vector<std::unique_ptr<Cache>> caches_;
  qp::matrix_view<const float> q_{nullptr, 0, 0};
  std::vector<float> y_;
  std::optional<qp::thread_pool> threads_;
};

/// Adds `attention/<name>`.
///
/// @tparam Cache          a `kv_cache<...>`
/// @param rounded         what its kernels round besides the cache itself
/// @param uses_integers   whether they multiply int8 by int8
template <class Cache>
void add_cache(const std::string& name, const roundings& rounded = {}, bool uses_integers = false) {
  attention_cases().push_back(
      {"attention/" + name, [=](std::size_t tokens) -> std::unique_ptr<attention_work> {
         return std::make_unique<cache_attention<Cache>>(tokens, rounded, uses_integers);
       }});
}

}  // namespace qompose_bench
