// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Second moments of a layer's inputs, in blocks along the diagonal.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"

namespace qompose {

/// X^T X of a layer's inputs X [n_tokens, in_features], of which only the blocks of
/// `block_size` x `block_size` channels along the diagonal are kept.
///
/// Channels far apart hardly correlate, and what is left fits in memory for every matrix of a model
/// at once: in_features * block_size floats.
class block_gram {
 public:
  static constexpr std::size_t block_size = 128;

  block_gram() = default;
  /// @param in_features  number of channels
  explicit block_gram(std::size_t in_features)
      : in_features_(in_features), sums_(in_features * block_size) {}

  [[nodiscard]] std::size_t in_features() const noexcept { return in_features_; }
  /// First channel of block b.
  [[nodiscard]] static std::size_t begin(std::size_t b) noexcept { return b * block_size; }
  [[nodiscard]] std::size_t blocks() const noexcept {
    return (in_features_ + block_size - 1) / block_size;
  }
  /// Channels of block b; the last may be short.
  [[nodiscard]] std::size_t width(std::size_t b) const noexcept {
    return std::min(block_size, in_features_ - begin(b));
  }
  /// Sum over tokens of x_i x_j, both in block b, i and j counted from its first channel.
  [[nodiscard]] float at(std::size_t b, std::size_t i, std::size_t j) const noexcept {
    return sums_[(begin(b) + std::max(i, j)) * block_size + std::min(i, j)];
  }
  /// Sum of squares of channel c.
  [[nodiscard]] float diagonal(std::size_t c) const noexcept {
    return sums_[c * block_size + c % block_size];
  }

  /// Adds tokens to block b alone, so that blocks may be filled side by side.
  /// @param x  [n_tokens, in_features]
  /// @throws qompose::shape_error if the width disagrees
  void add(std::size_t b, matrix_view<const float> x) {
    if (x.cols() != in_features_) {
      throw_shape_error("block_gram: x", x.rows(), x.cols(), x.rows(), in_features_);
    }
    for (std::size_t t = 0; t < x.rows(); ++t) {
      const float* values = x.row(t) + begin(b);
      for (std::size_t i = 0; i < width(b); ++i) {
        const float factor = values[i];
        float* row = &sums_[(begin(b) + i) * block_size];
        for (std::size_t j = 0; j <= i; ++j) row[j] += factor * values[j];
      }
    }
  }

  /// What the sums would be with channel c of every token divided by divisors[c].
  /// @throws qompose::shape_error unless there is one divisor a channel
  void divide_channels(std::span<const float> divisors) {
    if (divisors.size() != in_features_) {
      throw shape_error("block_gram: " + std::to_string(divisors.size()) +
                        " divisors, expected one a channel, " + std::to_string(in_features_));
    }
    for (std::size_t b = 0; b < blocks(); ++b) {
      for (std::size_t i = 0; i < width(b); ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
          sums_[(begin(b) + i) * block_size + j] /= divisors[begin(b) + i] * divisors[begin(b) + j];
        }
      }
    }
  }

 private:
  std::size_t in_features_ = 0;
  std::vector<float> sums_;  // [in_features][block_size], the lower triangle of each block
};

}  // namespace qompose
