// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A `linear<Recipe>` as a product that rows can time.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "linear/inputs.hpp"
#include "linear/product.hpp"
#include "linear/reference.hpp"
#include "qompose/core/thread_pool.hpp"
#include "qompose/core/workspace.hpp"
#include "qompose/nn/activation_statistics.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/nn/linear.hpp"
#include "qompose/recipe/catalogue.hpp"

namespace qompose_bench {

/// Quantizes each of the distinct blocks once and copies it from then on, for those specs of which
/// a block of rows can be quantized alone.
template <class Spec>
struct repeated_blocks {
  mutable std::vector<qp::quantized_matrix<Spec>> known;
  mutable std::size_t calls = 0;

  void quantize(qp::quantized_matrix<Spec>& q, qp::matrix_view<float> view) const {
    const std::size_t at = calls++ % distinct_blocks;
    if (view.rows() != block_rows || qp::detail::rows_that_share<Spec>() == 0) {
      q = qp::quantize<Spec>(qp::matrix_view<const float>(view));
      return;
    }
    if (at == known.size()) {
      known.push_back(qp::quantize<Spec>(qp::matrix_view<const float>(view)));
    }
    q = known[at];
  }
};

template <class Recipe>
class layer_product final : public product {
  using layer = qp::linear<Recipe>;
  using spec = typename layer::weight_spec;
  using activation = typename layer::activation_spec;
  using transform = typename layer::transform_type;

 public:
  explicit layer_product(const shape& size) {
    const std::vector<float> distinct = distinct_weights(size.out, size.in);
    distinct_rows_ = distinct.size() / size.in;
    const auto read_rows = [&](std::size_t first, std::size_t count, float* out) {
      for (std::size_t r = 0; r < count; ++r) {
        std::copy_n(distinct.data() + (first + r) % distinct_rows_ * size.in, size.in,
                    out + r * size.in);
      }
    };
    copies_.push_back(compressed(size.out, size.in, read_rows, repeated_blocks<spec>{}));
    weights_ = scalar_weights(
        compressed(distinct_rows_, size.in, read_rows, qp::default_rule{}).quantized());
  }

  [[nodiscard]] std::size_t distinct_rows() const override { return distinct_rows_; }
  /// The layer itself, for who wants to read its weights.
  [[nodiscard]] const layer& copy(std::size_t at) const { return copies_[at]; }
  void keep_copies(std::size_t count) override {
    copies_.resize(1);
    while (copies_.size() < count) copies_.push_back(copies_.front());
  }
  void take(qp::matrix_view<const float> x, std::size_t threads) override {
    x_ = x;
    y_.assign(x.rows() * copies_.front().out_features(), 0.0f);
    if (!threads_ || threads_->concurrency() != threads) threads_.emplace(threads);
  }
  void run(std::size_t copy) override {
    copies_[copy](x_, {y_.data(), x_.rows(), copies_[copy].out_features()}, *threads_, scratch_);
  }
  [[nodiscard]] qp::matrix_view<const float> results() const override {
    return {y_.data(), x_.rows(), copies_.front().out_features()};
  }
  [[nodiscard]] qp::layer_cost cost(std::size_t n) const override {
    return qp::cost(copies_.front(), n);
  }

  [[nodiscard]] expected_products expect(qp::matrix_view<const float> x) const override {
    std::vector<float> rows(x.rows() * x.cols());
    const qp::matrix_view<float> view(rows.data(), x.rows(), x.cols());
    for (std::size_t t = 0; t < x.rows(); ++t) {
      std::copy_n(x.row(t), x.cols(), view.row(t));
      transform::forward(typename transform::data(), view.row(t), x.cols());
    }
    constexpr bool is_int8 = is_calibrated
                                 ? std::is_same_v<activation, qp::quant<qp::int8, qp::per_tensor>>
                                 : std::is_same_v<activation, qp::quant<qp::int8, qp::per_token>>;
    static_assert(is_int8 || !is_calibrated);
    const std::span<const float> stored = copies_.front().activation_scales();
    if constexpr (!is_int8 && !std::is_same_v<activation, qp::fp32>) {
      const auto rounded = qp::quantize<activation>(qp::matrix_view<const float>(view));
      qp::dequantize(rounded, view);
    }
    std::vector<scalar_token> tokens;
    for (std::size_t t = 0; t < x.rows(); ++t) {
      if constexpr (is_int8) {
        tokens.push_back(int8_token(view.row(t), x.cols(), is_calibrated ? stored[0] : 0.0f));
      } else {
        tokens.push_back({std::vector<double>(view.row(t), view.row(t) + x.cols())});
      }
    }
    return scalar_products(weights_, tokens, layer::uses_integers ? sums::exact : sums::rounded);
  }

 private:
  static constexpr bool is_calibrated = qp::is_calibrated<typename layer::recipe_type>;

  /// A layer; one that stores scales of activations has seen the tokens that rows will use.
  template <class ReadRows, class Rule>
  static layer compressed(std::size_t rows, std::size_t cols, const ReadRows& read_rows,
                          const Rule& rule) {
    if constexpr (is_calibrated) {
      qp::activation_statistics<transform> inputs(cols);
      inputs.add({repeated_tokens(distinct_tokens, cols).data(), distinct_tokens, cols});
      return qp::compress_rows<Recipe>(rows, cols, read_rows, {}, inputs, rule);
    } else {
      return qp::compress_rows<Recipe>(rows, cols, read_rows, {}, rule);
    }
  }

  std::size_t distinct_rows_ = 0;
  std::vector<layer> copies_;
  scalar_weights weights_;
  qp::matrix_view<const float> x_{nullptr, 0, 0};
  std::vector<float> y_;
  std::optional<qp::thread_pool> threads_;
  qp::workspace scratch_;
};

/// Adds `linear/<name>`.
template <class Recipe>
void add_layer(const std::string& name) {
  product_cases().push_back({"linear/" + name, [](const shape& size) -> std::unique_ptr<product> {
                               return std::make_unique<layer_product<Recipe>>(size);
                             }});
}

/// Adds `linear/<weights>a32` and `linear/<weights>a8<groups>`: float activations and int8 ones.
template <class Weights>
void add_layers(const std::string& weights, const std::string& groups = {}) {
  add_layer<qp::recipe<qp::weight<Weights>, qp::activation<qp::a8_token>>>(weights + "a8" + groups);
  add_layer<qp::recipe<qp::weight<Weights>>>(weights + "a32" + groups);
}

}  // namespace qompose_bench
