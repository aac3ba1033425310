// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Matrices of floats that own their elements, and seeded ones.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "qompose/core/matrix_view.hpp"
#include "qompose/core/random.hpp"

namespace qompose_tests {

/// A row-major matrix of floats.
class matrix {
 public:
  matrix(std::size_t rows, std::size_t cols, float value = 0.0f)
      : rows_(rows), cols_(cols), values_(rows * cols, value) {}
  matrix(std::size_t rows, std::size_t cols, std::vector<float> values)
      : rows_(rows), cols_(cols), values_(std::move(values)) {}

  std::size_t rows() const { return rows_; }
  std::size_t cols() const { return cols_; }
  float& operator()(std::size_t r, std::size_t c) { return values_[r * cols_ + c]; }
  float operator()(std::size_t r, std::size_t c) const { return values_[r * cols_ + c]; }
  std::vector<float>& values() { return values_; }
  const std::vector<float>& values() const { return values_; }

  qompose::matrix_view<float> view() { return {values_.data(), rows_, cols_}; }
  qompose::matrix_view<const float> view() const { return {values_.data(), rows_, cols_}; }

 private:
  std::size_t rows_;
  std::size_t cols_;
  std::vector<float> values_;
};

/// Normal numbers with mean 0 and variance 1; the same on every machine up to the last bit of
/// std::log and std::cos.
inline matrix random_matrix(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  qompose::random_source random(seed);
  matrix m(rows, cols);
  for (float& value : m.values()) value = static_cast<float>(random.normal());
  return m;
}

}  // namespace qompose_tests
