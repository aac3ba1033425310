// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a product must give, by scalar code in double, and how far a result may be off.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

#include "linear/product.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"

namespace qompose_bench {

/// Decoded weights, value = scale * code + offset, with a scale and an offset a group.
struct scalar_weights {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::size_t group_cols = 1;
  std::vector<double> codes;
  std::vector<double> scales;   ///< [rows, groups]
  std::vector<double> offsets;  ///< the same

  scalar_weights() = default;
  template <class Spec>
  explicit scalar_weights(const qp::quantized_matrix<Spec>& q)
      : rows(q.rows()), cols(q.cols()), group_cols(q.cols()), codes(q.rows() * q.cols()) {
    if constexpr (qp::quant_spec<Spec>) group_cols = q.group_cols();
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t c = 0; c < cols; ++c) {
        if constexpr (qp::quant_spec<Spec>) {
          codes[r * cols + c] = static_cast<double>(q.decoded(r, c));
        } else {
          codes[r * cols + c] = static_cast<double>(q.value(r, c));
        }
        if (c % group_cols != 0) continue;
        if constexpr (qp::quant_spec<Spec>) {
          scales.push_back(static_cast<double>(q.scale(r, c)));
          offsets.push_back(static_cast<double>(q.offset(r, c)));
        } else {
          scales.push_back(1.0);
          offsets.push_back(0.0);
        }
      }
    }
  }
  [[nodiscard]] std::size_t groups() const { return (cols + group_cols - 1) / group_cols; }
};

/// One row of activations, value = scale * code.
struct scalar_token {
  std::vector<double> codes;
  float scale = 1.0f;
};

/// int8 by definition: the largest magnitude at 127, or a scale that is stored (0 where none is),
/// nearest even after a true division.
inline scalar_token int8_token(const float* row, std::size_t n, float stored_scale = 0.0f) {
  scalar_token token;
  float peak = 0.0f;
  for (std::size_t c = 0; c < n; ++c) peak = std::max(peak, std::abs(row[c]));
  if (peak > 0.0f) token.scale = peak / 127.0f;
  if (stored_scale > 0.0f) token.scale = stored_scale;
  for (std::size_t c = 0; c < n; ++c) {
    token.codes.push_back(
        std::clamp(std::nearbyint(static_cast<double>(row[c] / token.scale)), -127.0, 127.0));
  }
  return token;
}

/// Whether results are made of exact integer sums.
enum class sums { exact, rounded };

/// Y for these tokens. With exact sums each of the groups takes at most two fused steps, each wrong
/// by 2^-24 of the running sum, and a few steps follow: (groups + 2) 2^-23 of the sum of
/// magnitudes, which is nothing where a row has one group and no offset. With rounded sums each of
/// n terms meets a product and a sum: (2 n + 16) 2^-24.
inline expected_products scalar_products(const scalar_weights& w,
                                         const std::vector<scalar_token>& tokens, sums kind) {
  expected_products expected;
  const std::size_t groups = w.groups();
  const double slack = kind == sums::exact ? (static_cast<double>(groups) + 2.0) * 0x1p-23
                                           : (2.0 * static_cast<double>(w.cols) + 16.0) * 0x1p-24;
  for (const scalar_token& token : tokens) {
    for (std::size_t r = 0; r < w.rows; ++r) {
      double sum = 0.0;
      double magnitude = 0.0;
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t last = std::min((g + 1) * w.group_cols, w.cols);
        double products = 0.0;
        double magnitudes = 0.0;
        double codes = 0.0;
        double code_magnitudes = 0.0;
        for (std::size_t c = g * w.group_cols; c < last; ++c) {
          const double x = token.codes[c];
          const double product = w.codes[r * w.cols + c] * x;
          products += product;
          magnitudes += std::abs(product);
          codes += x;
          code_magnitudes += std::abs(x);
        }
        const double scale = w.scales[r * groups + g];
        const double offset = w.offsets[r * groups + g];
        sum += scale * products + offset * codes;
        magnitude += kind == sums::exact
                         ? std::abs(scale * products) + std::abs(offset * codes)
                         : std::abs(scale) * magnitudes + std::abs(offset) * code_magnitudes;
      }
      const auto x_scale = static_cast<double>(token.scale);
      const bool is_exact = kind == sums::exact && groups == 1 && w.offsets[r] == 0.0;
      if (is_exact) {
        const auto acc = static_cast<float>(sum / w.scales[r]);
        sum = static_cast<double>(acc * (static_cast<float>(w.scales[r]) * token.scale));
        expected.y.push_back(sum);
        expected.bound.push_back(0.0);
      } else {
        expected.y.push_back(sum * x_scale);
        expected.bound.push_back(slack * magnitude * x_scale);
      }
    }
  }
  return expected;
}

/// What is wrong with the results of a product, or nothing. Every element is looked at: token t
/// must give what token t mod `distinct` does, row r what row r mod `distinct_rows` does.
inline std::string fault_of(const expected_products& expected, std::size_t distinct,
                            std::size_t distinct_rows, qp::matrix_view<const float> y) {
  for (std::size_t t = 0; t < y.rows(); ++t) {
    for (std::size_t r = 0; r < y.cols(); ++r) {
      const std::size_t at = t % distinct * distinct_rows + r % distinct_rows;
      const double error = std::abs(static_cast<double>(y(t, r)) - expected.y[at]);
      if (error <= expected.bound[at]) continue;
      return "result [" + std::to_string(t) + ", " + std::to_string(r) + "] is " +
             std::to_string(y(t, r)) + ", expected " + std::to_string(expected.y[at]) + " +- " +
             std::to_string(expected.bound[at]);
    }
  }
  return {};
}

}  // namespace qompose_bench
