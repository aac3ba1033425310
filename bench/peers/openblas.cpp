// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief OpenBLAS: sgemm.

#include <cblas.h>

#include "peers/peer.hpp"

namespace qompose_bench {
namespace {

class openblas_sgemm final : public peer_product {
 public:
  explicit openblas_sgemm(const shape& size) : peer_product(size) { keep_copies(1); }

  void keep_copies(std::size_t count) override {
    weights_.resize(std::min(count, weights_.size()));
    while (weights_.size() < count) weights_.push_back(all_rows(distinct_, size_.in));
  }
  void take(qp::matrix_view<const float> x, std::size_t threads) override {
    x_ = x;
    y_.assign(x.rows() * size_.out, 0.0f);
    openblas_set_num_threads(static_cast<int>(threads));
  }
  void run(std::size_t copy) override {
    const auto tokens = static_cast<blasint>(x_.rows());
    const auto out = static_cast<blasint>(size_.out);
    const auto in = static_cast<blasint>(size_.in);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, tokens, out, in, 1.0f, x_.data(), in,
                weights_[copy].data(), in, 0.0f, y_.data(), out);
  }
  [[nodiscard]] expected_products expect(qp::matrix_view<const float> x) const override {
    return scalar_products(plain_weights(distinct_, size_.in), plain_tokens(x), sums::rounded);
  }
  [[nodiscard]] qp::layer_cost cost(std::size_t n) const override {
    return cost_of(n, static_cast<double>(size_.out * size_.in * sizeof(float)), sizeof(float),
                   false);
  }

 private:
  std::vector<std::vector<float>> weights_;
  qp::matrix_view<const float> x_{nullptr, 0, 0};
};

[[maybe_unused]] const bool added = [] {
  product_cases().push_back(
      {"peer/openblas/f32", [](const shape& size) -> std::unique_ptr<product> {
         return std::make_unique<openblas_sgemm>(size);
       }});
  return true;
}();

}  // namespace
}  // namespace qompose_bench
