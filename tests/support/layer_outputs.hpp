// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a layer computes, for comparisons bit for bit.

#include <bit>
#include <cstdint>
#include <vector>

#include "qompose/nn/linear.hpp"
#include "support/matrix.hpp"

namespace qompose_tests {

/// What a layer computes, bit for bit.
template <class Recipe>
std::vector<std::uint32_t> outputs(const qompose::linear<Recipe>& layer, const matrix& x) {
  matrix y(x.rows(), layer.out_features());
  layer(x.view(), y.view());
  std::vector<std::uint32_t> bits;
  for (const float value : y.values()) bits.push_back(std::bit_cast<std::uint32_t>(value));
  return bits;
}

}  // namespace qompose_tests
