// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What panels hold only in decoded form, kept as it was stored.

#include <cstddef>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/packing/panels.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose::detail {
inline namespace QOMPOSE_ISA {

/// Copies all of `block` to rows [first_row, ...) of `whole`, scales and zero points included.
/// @pre first_row starts a block of scales on every level
template <tensor_spec Spec>
void copy_rows(quantized_matrix<Spec>& whole, std::size_t first_row,
               const quantized_matrix<Spec>& block) {
  for (std::size_t r = 0; r < block.rows(); ++r) {
    for (std::size_t c = 0; c < block.cols(); ++c) {
      whole.set_code(first_row + r, c, block.code(r, c));
    }
  }
  if constexpr (quant_spec<Spec>) {
    const std::size_t first_group = first_row / whole.group_rows();
    if constexpr (spec_parts<Spec>::has_scale) {
      copy_rows(whole.scales(), first_group, block.scales());
    }
    if constexpr (spec_parts<Spec>::has_zero) copy_rows(whole.zeros(), first_group, block.zeros());
  }
}

}  // namespace QOMPOSE_ISA

/// Scales, zero points and codebooks of a packed matrix that its panels hold only in decoded form.
template <tensor_spec Spec>
struct tight_parts {
  using layout = panel_layout<Spec>;
  using quantized_type = quantized_matrix<Spec>;
  template <bool Kept, class Matrix, int Which>
  using kept = std::conditional_t<Kept, Matrix, nothing<Which>>;
  static constexpr bool scales_kept = layout::keeps_tight_scales;
  static constexpr bool zeros_kept = layout::keeps_tight_zeros;
  static constexpr bool codebooks_kept = layout::is_learned;

  template <class Q, bool Scaled = quant_spec<typename Q::spec>>
  struct types {
    using scales = nothing<0>;
    using zeros = nothing<1>;
    using codebooks = nothing<2>;
  };
  template <class Q>
  struct types<Q, true> {
    using scales = kept<scales_kept, typename Q::scales_type, 0>;
    using zeros = kept<zeros_kept, typename Q::zeros_type, 1>;
    using codebooks = kept<codebooks_kept, typename Q::codebooks_type, 2>;
  };
  [[no_unique_address]] typename types<quantized_type>::scales scales;
  [[no_unique_address]] typename types<quantized_type>::zeros zeros;
  [[no_unique_address]] typename types<quantized_type>::codebooks codebooks;

  QOMPOSE_INLINE tight_parts() noexcept = default;
  QOMPOSE_INLINE tight_parts(std::size_t rows, std::size_t cols) {
    if constexpr (scales_kept || zeros_kept) {
      const scale_grid grid = scales_of<typename Spec::granularity_type>(rows, cols);
      if constexpr (scales_kept) scales = {grid.rows, grid.cols};
      if constexpr (zeros_kept) zeros = {grid.rows, grid.cols};
    }
    if constexpr (codebooks_kept) {
      using element = typename layout::element;
      codebooks = {codebooks_of<Spec>(rows, cols), static_cast<std::size_t>(element::entries)};
    }
    (void)rows;
    (void)cols;
  }
  /// Stores those of `block` at rows [first_row, ...) of a matrix of `rows` rows.
  QOMPOSE_INLINE void store(std::size_t first_row, std::size_t rows, const quantized_type& block) {
    if constexpr (quant_spec<Spec>) {
      const std::size_t first_group = first_row / Spec::granularity_type::group_rows(rows);
      if constexpr (scales_kept) copy_rows(scales, first_group, block.scales());
      if constexpr (zeros_kept) copy_rows(zeros, first_group, block.zeros());
      if constexpr (codebooks_kept) {
        copy_rows(codebooks, layout::is_shared ? 0 : first_group * block.grid().cols,
                  block.codebooks());
      }
      (void)first_group;
    }
    (void)first_row;
    (void)rows;
    (void)block;
  }
  /// The other way round.
  QOMPOSE_INLINE void restore(quantized_type& q) const {
    if constexpr (scales_kept) q.scales() = scales;
    if constexpr (zeros_kept) q.zeros() = zeros;
    if constexpr (codebooks_kept) q.codebooks() = codebooks;
    (void)q;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return scales.storage_bytes() + zeros.storage_bytes() + codebooks.storage_bytes();
  }
};

}  // namespace qompose::detail
