// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What the products of other libraries share: weights and tokens in their formats.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "linear/inputs.hpp"
#include "linear/product.hpp"
#include "linear/reference.hpp"

namespace qompose_bench {

/// A product of another library. Activations come as it wants them, quantized before the clock
/// starts, where our own layers quantize them on it.
class peer_product : public product {
 public:
  explicit peer_product(const shape& size)
      : size_(size), distinct_(distinct_weights(size.out, size.in)) {}

  [[nodiscard]] std::size_t distinct_rows() const override { return distinct_.size() / size_.in; }
  [[nodiscard]] qp::matrix_view<const float> results() const override {
    return {y_.data(), y_.size() / size_.out, size_.out};
  }

 protected:
  /// The distinct rows, repeated until all rows are there; `row` elements each.
  template <class T>
  [[nodiscard]] std::vector<T> all_rows(const std::vector<T>& distinct, std::size_t row) const {
    std::vector<T> all(size_.out * row);
    for (std::size_t r = 0; r < size_.out; ++r) {
      std::copy_n(distinct.data() + r % distinct_rows() * row, row, all.data() + r * row);
    }
    return all;
  }
  [[nodiscard]] qp::layer_cost cost_of(std::size_t n, double weight_bytes, double element_bytes,
                                       bool uses_integers) const {
    return qp::product_cost(size_.out, size_.in, n, weight_bytes, element_bytes, uses_integers);
  }

  shape size_;
  std::vector<float> distinct_;  ///< [distinct_rows(), in]
  std::vector<float> y_;
};

/// Rows rounded to integers in -limit .. limit, with a scale a group.
struct integer_rows {
  std::vector<std::int8_t> codes;  ///< [rows, cols]
  std::vector<float> scales;       ///< [rows, groups]

  /// @param scale_of  rounds a scale to what the library stores
  template <class ScaleOf>
  integer_rows(const std::vector<float>& values, std::size_t cols, std::size_t group_cols,
               int limit, const ScaleOf& scale_of)
      : codes(values.size()) {
    for (std::size_t at = 0; at < values.size(); at += group_cols) {
      const std::size_t last = std::min(at + group_cols, (at / cols + 1) * cols);
      float peak = 0.0f;
      for (std::size_t i = at; i < last; ++i) peak = std::max(peak, std::abs(values[i]));
      const float scale = scale_of(peak / static_cast<float>(limit));
      scales.push_back(scale);
      for (std::size_t i = at; i < last; ++i) {
        const int code = static_cast<int>(std::nearbyint(values[i] / scale));
        codes[i] = static_cast<std::int8_t>(std::clamp(code, -limit, limit));
      }
    }
  }

  /// The same for the scalar reference.
  [[nodiscard]] scalar_weights decoded(std::size_t cols, std::size_t group_cols) const {
    scalar_weights w;
    w.rows = codes.size() / cols;
    w.cols = cols;
    w.group_cols = group_cols;
    w.codes.assign(codes.begin(), codes.end());
    w.scales.assign(scales.begin(), scales.end());
    w.offsets.assign(scales.size(), 0.0);
    return w;
  }
};

/// Plain rows for the scalar reference.
inline scalar_weights plain_weights(const std::vector<float>& values, std::size_t cols) {
  scalar_weights w;
  w.rows = values.size() / cols;
  w.cols = cols;
  w.group_cols = cols;
  w.codes.assign(values.begin(), values.end());
  w.scales.assign(w.rows, 1.0);
  w.offsets.assign(w.rows, 0.0);
  return w;
}

/// Plain tokens for the scalar reference.
inline std::vector<scalar_token> plain_tokens(qp::matrix_view<const float> x) {
  std::vector<scalar_token> tokens;
  for (std::size_t t = 0; t < x.rows(); ++t) {
    tokens.push_back({std::vector<double>(x.row(t), x.row(t) + x.cols())});
  }
  return tokens;
}

}  // namespace qompose_bench
