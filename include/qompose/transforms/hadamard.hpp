// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Hadamard rotation of whole rows, for any length that has a construction.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/transforms/hadamard_matrix.hpp"
#include "qompose/transforms/transform.hpp"
#include "qompose/transforms/walsh_hadamard.hpp"

namespace qompose {

/// Multiplies a row of n = K m elements by the orthonormal matrix (H_K (x) H_m) / sqrt(n).
///
/// m is a power of two and K the smallest multiple of n's odd part that divides n, is at most 256
/// and has a Hadamard matrix here; 1 for powers of two. Where there is none (n = 39 * 64), blocks
/// of the largest power of two that divides n are rotated by themselves, and a row of odd length is
/// left as it is. `then<random_signs<1>, hadamard>` is a random Hadamard rotation.
///
/// Order of additions, the same on every target: strides 1, 2, 4, ... within each of the K parts of
/// m elements, (a, b) -> (a + b, a - b); then, from 0, the sum over g of (+-x[4 g] +- x[4 g + 1]) +
/// (+-x[4 g + 2] +- x[4 g + 3]) with the signs of a row of H_K; then one product with
/// float(1 / sqrt(n)).
///
/// @par Cost  n (log2(m) + K / 4 + 7) additions; K^2 / 4 bytes kept
/// @par Source
/// Ashkboos et al., "QuaRot", NeurIPS 2024, arXiv:2404.00456, section 3; for H_K
/// transforms/hadamard_matrix.hpp.
struct hadamard {
  static constexpr std::string_view name = "hadamard";
  static constexpr bool is_identity = false;
  static constexpr bool folds_as_forward = true;

  /// The signs of H_K, and the sizes.
  struct data {
    std::size_t order = 1;  ///< K
    std::size_t width = 0;  ///< m; 0 for rows of no elements
    float factor = 1.0f;
    aligned_buffer<std::uint8_t> signs;  ///< [K, K / 4]: bit j % 4 of byte [i, j / 4] set for -1

    [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept { return signs.size(); }
    [[nodiscard]] QOMPOSE_INLINE bool is_negative(std::size_t i, std::size_t j) const noexcept {
      return (signs[i * (order / 4) + j / 4] >> (j % 4) & 1) != 0;
    }
  };

  /// K for rows of n > 0 elements; 1 also where there is no construction.
  QOMPOSE_INLINE static constexpr std::size_t order_for(std::size_t n) noexcept {
    const std::size_t odd = n >> std::countr_zero(n);
    if (odd == 1) return 1;
    for (std::size_t k = 4 * odd; n % k == 0 && k <= detail::hadamard_matrix::largest_order;
         k *= 2) {
      if (detail::hadamard_matrix::exists(k)) return k;
    }
    return 1;
  }

  /// m for rows of n > 0 elements.
  QOMPOSE_INLINE static constexpr std::size_t width_for(std::size_t n) noexcept {
    const std::size_t order = order_for(n);
    return order > 1 ? n / order : std::size_t{1} << std::countr_zero(n);
  }

  /// @throws std::bad_alloc
  QOMPOSE_INLINE static data data_for(std::size_t n) {
    data made;
    if (n == 0) return made;
    made.order = order_for(n);
    made.width = width_for(n);
    made.factor = static_cast<float>(1.0 / std::sqrt(static_cast<double>(made.order * made.width)));
    if (made.order == 1) return made;
    made.signs = aligned_buffer<std::uint8_t>(made.order * made.order / 4);
    const detail::hadamard_matrix matrix(made.order);
    for (std::size_t i = 0; i < made.order; ++i) {
      for (std::size_t j = 0; j < made.order; ++j) {
        if (!matrix.is_negative(i, j)) continue;
        std::uint8_t& byte = made.signs[i * (made.order / 4) + j / 4];
        byte = static_cast<std::uint8_t>(byte | 1u << (j % 4));
      }
    }
    return made;
  }

  /// @throws qompose::shape_error if the data is that of rows of another length
  QOMPOSE_INLINE static void require(const data& d, std::size_t n) {
    if (n == 0 ? d.width == 0 : d.order == order_for(n) && d.width == width_for(n)) return;
    throw shape_error("hadamard: the data is for rows of " + std::to_string(d.order * d.width) +
                      " elements, expected " + std::to_string(n));
  }

  /// Rotates a row of n elements in place.
  QOMPOSE_INLINE static void forward(const data& d, float* row, std::size_t n) noexcept {
    rotate<false>(d, row, n);
  }
  /// The same rotation for a row of weights.
  QOMPOSE_INLINE static void fold(const data& d, float* row, std::size_t n) noexcept {
    rotate<false>(d, row, n);
  }
  /// The transposed rotation.
  QOMPOSE_INLINE static void unfold(const data& d, float* row, std::size_t n) noexcept {
    rotate<true>(d, row, n);
  }

 private:
  template <bool Transposed>
  QOMPOSE_INLINE static void rotate(const data& d, float* row, std::size_t n) noexcept {
    if (n == 0) return;
    for (std::size_t first = 0; first < n; first += d.width) {
      detail::walsh_hadamard(row + first, d.width);
    }
    // A few columns at a time, so that the sums fit the stack.
    constexpr std::size_t together = 16;
    for (std::size_t first = 0; d.order > 1 && first < d.width; first += together) {
      const std::size_t count = std::min(together, d.width - first);
      float sums[detail::hadamard_matrix::largest_order][together] = {};
      for (std::size_t i = 0; i < d.order; ++i) {
        for (std::size_t j = 0; j < d.order; j += 4) {
          float sign[4];
          for (std::size_t k = 0; k < 4; ++k) {
            sign[k] =
                (Transposed ? d.is_negative(j + k, i) : d.is_negative(i, j + k)) ? -1.0f : 1.0f;
          }
          const float* x = row + j * d.width + first;
          for (std::size_t c = 0; c < count; ++c) {
            const float low = sign[0] * x[c] + sign[1] * x[d.width + c];
            const float high = sign[2] * x[2 * d.width + c] + sign[3] * x[3 * d.width + c];
            sums[i][c] += low + high;
          }
        }
      }
      for (std::size_t i = 0; i < d.order; ++i) {
        std::copy_n(sums[i], count, row + i * d.width + first);
      }
    }
    for (std::size_t i = 0; i < n; ++i) row[i] *= d.factor;
  }
};

static_assert(transform_policy<hadamard>);
static_assert(hadamard::order_for(4096) == 1 && hadamard::order_for(11008) == 172);

}  // namespace qompose
