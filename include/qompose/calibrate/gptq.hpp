// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief GPTQ: rounds column by column and lets later columns make up for the error.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "qompose/calibrate/block_gram.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// How much an error in each column weighs on the columns after it: rows of the upper triangular U
/// with U^T U = (X^T X + damping)^-1, each divided by its diagonal element, block by block.
class gptq_feedback {
 public:
  gptq_feedback() = default;

  /// @tparam Transform     the recipe's; the sums are carried to its basis
  /// @param  gram          of the layer's inputs before the transform; its blocks must be whole
  ///                       blocks of the transform
  /// @param  damp_percent  share of the mean diagonal added to the diagonal, > 0
  /// @throws qompose::argument_error if damp_percent is not positive
  template <class Transform>
  static gptq_feedback make(const block_gram& gram, float damp_percent = 0.01f) {
    static_assert(stays_in_blocks<Transform>(),
                  "qompose: gptq: the transform mixes channels of different blocks of the Gram "
                  "matrix, or has data; use no_transform or block_hadamard<128> or smaller");
    if (!(damp_percent > 0.0f)) {
      throw argument_error("gptq: damp_percent is " + std::to_string(damp_percent) +
                           ", expected a positive share");
    }
    gptq_feedback feedback;
    feedback.in_features_ = gram.in_features();
    feedback.rows_.assign(gram.in_features() * block_gram::block_size, 0.0f);
    for (std::size_t b = 0; b < gram.blocks(); ++b) {
      std::vector<double> moments = in_basis_of<Transform>(gram, b);
      feedback.store(b, inverse_rows(moments, gram.width(b), damp_percent));
    }
    return feedback;
  }

  [[nodiscard]] std::size_t in_features() const noexcept { return in_features_; }
  /// Weights of column c's error on columns c + 1, ... of its block.
  [[nodiscard]] const float* row(std::size_t c) const noexcept {
    return rows_.data() + c * block_gram::block_size + c % block_gram::block_size + 1;
  }
  /// The column after the last of column c's block.
  [[nodiscard]] std::size_t block_end(std::size_t c) const noexcept {
    constexpr std::size_t size = block_gram::block_size;
    return std::min(in_features_, c / size * size + size);
  }

 private:
  template <class Transform>
  static constexpr bool stays_in_blocks() {
    if constexpr (Transform::is_identity) {
      return true;
    } else if constexpr (requires { Transform::block_size; }) {
      return block_gram::block_size % Transform::block_size == 0;
    } else {
      return false;
    }
  }

  template <class Transform>
  static std::vector<double> in_basis_of(const block_gram& gram, std::size_t b) {
    const std::size_t n = gram.width(b);
    std::vector<float> rotated(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) rotated[i * n + j] = gram.at(b, i, j);
    }
    if constexpr (!Transform::is_identity) {
      // T^T G T: rows, then columns, which are rows of the (symmetric) transpose.
      const typename Transform::data data{};
      for (int side = 0; side < 2; ++side) {
        for (std::size_t i = 0; i < n; ++i) Transform::forward(data, &rotated[i * n], n);
        for (std::size_t i = 0; i < n; ++i) {
          for (std::size_t j = 0; j < i; ++j) std::swap(rotated[i * n + j], rotated[j * n + i]);
        }
      }
    }
    return {rotated.begin(), rotated.end()};
  }

  /// Rows of U over their diagonal elements. (X^T X)^-1 = U^T U means X^T X = R R^T with R = U^-1,
  /// upper triangular: a Cholesky factorization from the last row up.
  static std::vector<double> inverse_rows(std::vector<double>& a, std::size_t n,
                                          float damp_percent) {
    double mean = 0.0;
    for (std::size_t i = 0; i < n; ++i) mean += a[i * n + i] / static_cast<double>(n);
    // Channels that were never used get an identity, so that they neither give nor take error.
    const double damping = mean > 0.0 ? mean * static_cast<double>(damp_percent) : 1.0;
    for (std::size_t i = 0; i < n; ++i) a[i * n + i] += damping;

    std::vector<double> r(n * n);
    for (std::size_t j = n; j-- > 0;) {
      double pivot = a[j * n + j];
      for (std::size_t k = j + 1; k < n; ++k) pivot -= r[j * n + k] * r[j * n + k];
      r[j * n + j] = std::sqrt(std::max(pivot, damping * 1e-6));
      for (std::size_t i = 0; i < j; ++i) {
        double sum = a[i * n + j];
        for (std::size_t k = j + 1; k < n; ++k) sum -= r[i * n + k] * r[j * n + k];
        r[i * n + j] = sum / r[j * n + j];
      }
    }
    std::vector<double> u(n * n);
    for (std::size_t j = 0; j < n; ++j) {
      u[j * n + j] = 1.0 / r[j * n + j];
      for (std::size_t i = j; i-- > 0;) {
        double sum = 0.0;
        for (std::size_t k = i + 1; k <= j; ++k) sum -= r[i * n + k] * u[k * n + j];
        u[i * n + j] = sum / r[i * n + i];
      }
    }
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = n; j-- > i;) u[i * n + j] /= u[i * n + i];
    }
    return u;
  }

  void store(std::size_t b, const std::vector<double>& u) {
    const std::size_t n = std::min(block_gram::block_size, in_features_ - block_gram::begin(b));
    for (std::size_t i = 0; i < n; ++i) {
      float* row = rows_.data() + (block_gram::begin(b) + i) * block_gram::block_size;
      for (std::size_t j = i; j < n; ++j) row[j] = static_cast<float>(u[i * n + j]);
    }
  }

  std::size_t in_features_ = 0;
  std::vector<float> rows_;
};

/// A rule that rounds a row column by column: each error is passed on to the columns after it, in
/// the proportion that changes the layer's output least. Scales are fitted by `rule` when their
/// group's turn comes, on what its weights have become.
///
/// @par Cost  in_features * block_size / 2 multiply-adds a row besides `rule`'s
/// @par Source
/// Frantar et al., "GPTQ", ICLR 2023, arXiv:2210.17323, algorithm 1, with the Hessian cut to
/// blocks along its diagonal.
template <class Rule = default_rule>
struct gptq_rule {
  Rule rule = {};
  const gptq_feedback* feedback = nullptr;  ///< of the matrix at hand, in the recipe's basis

  /// Fills `q` from rows of weights, transform already folded in; the rows are used up.
  /// @pre feedback has as many columns as the rows
  template <tensor_spec Spec>
  void quantize(quantized_matrix<Spec>& q, matrix_view<float> rows) const {
    if constexpr (quant_spec<Spec>) {
      static_assert(number_format<typename Spec::scale_type::format>,
                    "qompose: gptq: scales that are quantized themselves cannot be fitted group by "
                    "group; use scale<fp16> or another rule");
      for (std::size_t r = 0; r < rows.rows(); ++r) quantize_row(q, r, rows.row(r));
    } else {
      detail::quantize_into(q, matrix_view<const float>(rows), rule, serial{});
    }
  }

 private:
  template <quant_spec Spec>
  void quantize_row(quantized_matrix<Spec>& q, std::size_t r, float* w) const {
    using element = typename Spec::element;
    using zero_type = typename Spec::zero_type;
    float scale = 0.0f;
    float zero_or_minimum = 0.0f;
    for (std::size_t c = 0; c < q.cols(); ++c) {
      if (c % q.group_cols() == 0) {
        const std::size_t size = std::min(q.group_cols(), q.cols() - c);
        detail::store_fit(q, r, c / q.group_cols(), detail::fit_group<Spec>(rule, w + c, size));
        scale = q.scale(r, c);
        zero_or_minimum = q.zero_or_minimum(r, c);
      }
      if (scale != 0.0f) {
        q.set_code(r, c, detail::encode_scaled<element, zero_type>(w[c], scale, zero_or_minimum));
      }
      const float error = w[c] - q.value(r, c);
      const float* weights = feedback->row(c);
      const std::size_t end = feedback->block_end(c);
      for (std::size_t k = c + 1; k < end; ++k) w[k] -= error * weights[k - c - 1];
    }
  }
};

}  // namespace qompose
