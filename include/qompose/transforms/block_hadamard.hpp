// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Walsh-Hadamard rotation of blocks of a row; spreads outliers over their block.

#include <bit>
#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/core/fixed_text.hpp"
#include "qompose/transforms/transform.hpp"
#include "qompose/transforms/walsh_hadamard.hpp"

namespace qompose {

/// Multiplies each block of `N` elements by the orthonormal Sylvester-Hadamard matrix.
///
/// A tail shorter than N is cut into blocks of descending powers of two, so any row length is
/// rotated by an orthogonal matrix. The matrix is symmetric and its own inverse: forward, fold and
/// unfold are the same map, and nothing is stored.
///
/// Order of additions, the same on every target: strides 1, 2, 4, ..., each (a, b) -> (a + b,
/// a - b); then one product with float(1 / sqrt(block)).
///
/// @tparam N  block length, a power of two in 2 .. 65536
/// @par Cost  N log2(N) additions per block
/// @par Source
/// Ashkboos et al., "QuaRot", NeurIPS 2024, arXiv:2404.00456; Tseng et al., "QuIP#", ICML 2024,
/// arXiv:2402.04396.
template <std::size_t N>
struct block_hadamard {
  static_assert(std::has_single_bit(N) && N >= 2 && N <= 65536,
                "qompose: block_hadamard: the block length is not a power of two in 2..65536; use "
                "block_hadamard<64>");

 private:
  static constexpr detail::fixed_text name_ = detail::fixed_text() + "block_hadamard<" + N + ">";

 public:
  struct data {};
  static constexpr std::string_view name = name_.view();
  static constexpr bool is_identity = false;
  static constexpr std::size_t block_size = N;
  static constexpr bool folds_as_forward = true;

  /// Rotates a row of n elements in place.
  QOMPOSE_INLINE static void forward(const data&, float* row, std::size_t n) noexcept {
    rotate(row, n);
  }
  /// The same rotation for a row of weights.
  QOMPOSE_INLINE static void fold(const data&, float* row, std::size_t n) noexcept {
    rotate(row, n);
  }
  /// The same rotation once more.
  QOMPOSE_INLINE static void unfold(const data&, float* row, std::size_t n) noexcept {
    rotate(row, n);
  }

  /// float(1 / sqrt(length)) for a power of two.
  QOMPOSE_INLINE static constexpr float normalization(std::size_t length) noexcept {
    const int exponent = std::countr_zero(length);
    float factor = exponent % 2 == 0 ? 1.0f : 0x1.6a09e6p-1f;
    for (int i = 0; i < exponent / 2; ++i) factor *= 0.5f;
    return factor;
  }

  /// Length of the block that starts when `remaining` elements are left.
  QOMPOSE_INLINE static constexpr std::size_t block_at(std::size_t remaining) noexcept {
    return remaining >= N ? N : std::bit_floor(remaining);
  }

 private:
  QOMPOSE_INLINE static void rotate(float* row, std::size_t n) noexcept {
    while (n > 0) {
      const std::size_t length = block_at(n);
      detail::walsh_hadamard(row, length);
      const float factor = normalization(length);
      for (std::size_t i = 0; i < length; ++i) row[i] *= factor;
      row += length;
      n -= length;
    }
  }
};

static_assert(transform_policy<block_hadamard<64>>);
static_assert(block_hadamard<2>::normalization(64) == 0.125f);

}  // namespace qompose
