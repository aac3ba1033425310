// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Codes to floats.

#include <algorithm>
#include <cstddef>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Dequantizes rows [first, last).
template <tensor_spec Spec, class Codec>
void dequantize_rows(const quantized_matrix<Spec>& q, const Codec& kernels, std::size_t first,
                     std::size_t last, matrix_view<float> out) {
  using parts = spec_parts<Spec>;
  using element = typename parts::element;
  const std::size_t cols = q.cols();
  aligned_buffer<typename element::storage_type> codes(cols);
  if constexpr (number_format<Spec>) {
    constexpr float unit = 1.0f;
    for (std::size_t r = first; r < last; ++r) {
      q.codes().get_row(r, cols, codes.data());
      kernels.decode(codes.data(), cols, cols, &unit, nullptr, out.row(r));
    }
  } else {
    const std::size_t step = q.group_cols();
    const std::size_t groups = q.grid().cols;
    aligned_buffer<float> scales(groups);
    aligned_buffer<float> offsets(groups);
    for (std::size_t r = first; r < last; ++r) {
      q.codes().get_row(r, cols, codes.data());
      for (std::size_t g = 0; g < groups; ++g) {
        scales[g] = q.scale(r, g * step);
        if constexpr (parts::has_zero) offsets[g] = q.zero_or_minimum(r, g * step);
      }
      if constexpr (parts::has_codebook) {
        constexpr auto count = static_cast<std::size_t>(element::entries);
        float entries[count];
        for (std::size_t g = 0; g < groups; ++g) {
          const std::size_t book = q.codebook(r, g * step);
          for (std::size_t k = 0; k < count; ++k) entries[k] = q.codebooks().value(book, k);
          kernels.decode(codes.data() + g * step, std::min(step, cols - g * step), scales[g],
                         entries, out.row(r) + g * step);
        }
      } else {
        kernels.decode(codes.data(), cols, step, scales.data(), offsets.data(), out.row(r));
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Fills `out` with the values that the codes stand for.
///
/// @param q    a quantized matrix, [rows, cols]
/// @param out  [rows, cols], overwritten
/// @param run  who runs the rows
/// @throws qompose::shape_error if the shapes disagree
/// @par Cost  one pass; for the common formats at the speed at which memory takes the floats
template <tensor_spec Spec, executor Executor = serial>
void dequantize(const quantized_matrix<Spec>& q, matrix_view<float> out, const Executor& run = {}) {
  if (out.rows() != q.rows() || out.cols() != q.cols()) {
    throw_shape_error("dequantize: out", out.rows(), out.cols(), q.rows(), q.cols());
  }
  if (q.rows() == 0 || q.cols() == 0) return;
  using parts = detail::spec_parts<Spec>;
  const auto kernels =
      detail::best_codec<typename parts::element, typename parts::zero_type>();
  const std::size_t step = std::max<std::size_t>(1, 16384 / q.cols());
  run.for_each(divide_up(q.rows(), step), [&](std::size_t i) {
    detail::dequantize_rows(q, kernels, i * step, std::min((i + 1) * step, q.rows()), out);
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
