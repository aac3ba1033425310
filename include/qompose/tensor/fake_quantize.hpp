// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rounds floats to what a spec can store, without storing anything.

#include <algorithm>
#include <cstddef>

#include "qompose/core/matrix_view.hpp"
#include "qompose/recipe/fit.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/tensor/quantize.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Rounds one row of activations to `Spec` in place, as quantizing and dequantizing it would.
/// No allocation unless the scales are quantized themselves.
template <tensor_spec Spec>
void fake_quantize_row(float* row, std::size_t n) {
  if constexpr (std::is_same_v<Spec, fp32>) {
    return;
  } else if constexpr (number_format<Spec>) {
    for (std::size_t i = 0; i < n; ++i) row[i] = Spec::decode(Spec::encode(row[i]));
  } else if constexpr (number_format<typename Spec::scale_type::format> &&
                       std::is_same_v<typename Spec::zero_type, no_zero>) {
    using element = typename Spec::element;
    using scale_format = typename Spec::scale_type::format;
    const std::size_t group = Spec::granularity_type::group_cols(n);
    for (std::size_t first = 0; first < n; first += group) {
      const std::size_t size = std::min(group, n - first);
      const float fitted = absmax{}.fit<element, offset_kind::none>(row + first, size).scale;
      const float scale = scale_format::decode(scale_format::encode(fitted > 0 ? fitted : 1.0f));
      for (std::size_t i = first; i < first + size; ++i) {
        row[i] = scale != 0.0f ? scale * element::decode(element::encode(row[i] / scale)) : 0.0f;
      }
    }
  } else {
    quantized_matrix<Spec> q(1, n);
    quantize_into(q, matrix_view<const float>(row, 1, n), absmax{}, serial{});
    for (std::size_t i = 0; i < n; ++i) row[i] = q.value(0, i);
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail
}  // namespace qompose
