// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Whether two quantized matrices hold the same codes in all their parts.

#include <cstddef>

#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose_tests {

/// True where all codes of two matrices agree, scales, zero points and codebooks included.
template <class Spec>
bool same(const qompose::quantized_matrix<Spec>& a, const qompose::quantized_matrix<Spec>& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return false;
  for (std::size_t r = 0; r < a.rows(); ++r) {
    for (std::size_t c = 0; c < a.cols(); ++c) {
      if (a.code(r, c) != b.code(r, c)) return false;
    }
  }
  using parts = qompose::detail::spec_parts<Spec>;
  if constexpr (parts::has_scale) {
    if (!same(a.scales(), b.scales())) return false;
  }
  if constexpr (parts::has_zero) {
    if (!same(a.zeros(), b.zeros())) return false;
  }
  if constexpr (parts::has_codebook) {
    if (!same(a.codebooks(), b.codebooks())) return false;
  }
  return true;
}

}  // namespace qompose_tests
