// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Something that computes Y = X W^T and can be checked: a layer of ours or a peer's.

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "options.hpp"
#include "qompose/analysis/cost.hpp"
#include "qompose/core/matrix_view.hpp"

namespace qompose_bench {

namespace qp = qompose;

/// Results in double, row-major, and how far each may be off.
struct expected_products {
  std::vector<double> y;
  std::vector<double> bound;
};

/// One matrix, ready to be multiplied. Its rows repeat after `distinct_rows`, so that a few rows
/// are quantized and checked against, however large it is.
class product {
 public:
  product() = default;
  product(const product&) = delete;
  product& operator=(const product&) = delete;
  virtual ~product() = default;

  /// Rows after which the weights repeat.
  [[nodiscard]] virtual std::size_t distinct_rows() const = 0;
  /// As many copies of the weights, each elsewhere in memory.
  virtual void keep_copies(std::size_t count) = 0;
  /// The next calls multiply these tokens, [n, in_features], on so many threads.
  virtual void take(qp::matrix_view<const float> x, std::size_t threads) = 0;
  /// Multiplies by copy `copy`; this is what is timed.
  virtual void run(std::size_t copy) = 0;
  /// What `run` computed, [n, out_features].
  [[nodiscard]] virtual qp::matrix_view<const float> results() const = 0;
  /// By scalar code, for these tokens: [x.rows(), distinct_rows()].
  [[nodiscard]] virtual expected_products expect(qp::matrix_view<const float> x) const = 0;
  /// What one call for n tokens costs.
  [[nodiscard]] virtual qp::layer_cost cost(std::size_t n) const = 0;
};

/// A product by name, made when a row asks for it.
struct product_case {
  std::string name;  ///< such as "linear/w4a8_g32"
  std::function<std::unique_ptr<product>(const shape&)> make;
};

/// Every case, in the order of registration; files add theirs before main starts.
inline std::vector<product_case>& product_cases() {
  static std::vector<product_case> cases;
  return cases;
}

}  // namespace qompose_bench
