// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Floats to codes and back.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/fit.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Throws unless every element is finite; rows count from `first_row` in the message.
/// @throws qompose::value_error naming the first position that is not
inline void require_finite(const char* what, matrix_view<const float> values,
                           std::size_t first_row = 0) {
  for (std::size_t r = 0; r < values.rows(); ++r) {
    const float* row = values.row(r);
    // Zero times anything finite is zero, so one sum tells whether the row needs a closer look.
    float poison = 0.0f;
    for (std::size_t c = 0; c < values.cols(); ++c) poison += row[c] * 0.0f;
    if (poison == 0.0f) continue;
    for (std::size_t c = 0; c < values.cols(); ++c) {
      if (!std::isfinite(row[c])) {
        throw value_error(std::string(what) + ": element (" + std::to_string(first_row + r) + ", " +
                          std::to_string(c) + ") is " + (std::isnan(row[c]) ? "NaN" : "infinite") +
                          ", expected a finite number");
      }
    }
  }
}

/// The value a code stands for before its scale: clamps and rounds `value`, which is already
/// divided by the scale; a zero point is added between the two, as an integer.
template <number_format Element, class Zero>
[[nodiscard]] QOMPOSE_INLINE typename Element::storage_type encode_scaled(
    float value, float scale, float zero_or_minimum) noexcept {
  if constexpr (is_minimum<Zero>) {
    return Element::encode((value - zero_or_minimum) / scale);
  } else if constexpr (is_zero_point<Zero>) {
    const auto steps = round_to_code(value / scale, -0x1p22f, 0x1p22f);
    return Element::encode(static_cast<float>(steps) + zero_or_minimum);
  } else {
    return Element::encode(value / scale);
  }
}

template <tensor_spec Spec, class Rule, executor Executor>
void quantize_into(quantized_matrix<Spec>& q, matrix_view<const float> values, const Rule& rule,
                   const Executor& run);

/// Scale and offset to store for one group, before their own formats round them.
struct group_fit {
  float scale = 0.0f;
  float offset = 0.0f;  ///< the minimum, or the zero point; 0 where neither is stored
};

template <quant_spec Spec, class Rule>
[[nodiscard]] group_fit fit_group(const Rule& rule, const float* group, std::size_t size) {
  constexpr offset_kind offset = offset_of<typename Spec::zero_type>;
  using scale_format = typename Spec::scale_type::format;
  constexpr bool signed_scale = is_plain_float<typename spec_parts<scale_format>::element>;
  // A scale that is quantized itself is fitted with its neighbours; a 1 for an empty group would
  // stretch their range, and 0 decodes to the same zeros.
  constexpr float empty_scale = quant_spec<scale_format> ? 0.0f : 1.0f;

  const fitted_scale fitted =
      rule.template fit<typename Spec::element, offset, signed_scale>(group, size);
  const bool empty = !(fitted.scale != 0.0f);
  group_fit result{empty ? empty_scale : fitted.scale, 0.0f};
  if constexpr (offset == offset_kind::minimum) result.offset = fitted.minimum;
  if constexpr (offset == offset_kind::zero_point) {
    result.offset = empty ? 0.0f : -fitted.minimum / fitted.scale;
  }
  return result;
}

/// Fits and stores one group, where scales do not depend on each other.
template <quant_spec Spec, class Rule>
void store_scale(quantized_matrix<Spec>& q, std::size_t r, std::size_t g, const Rule& rule,
                 const float* group, std::size_t size) {
  const group_fit fitted = fit_group<Spec>(rule, group, size);
  q.scales().set_code(r, g, Spec::scale_type::format::encode(fitted.scale));
  if constexpr (!std::is_same_v<typename Spec::zero_type, no_zero>) {
    q.zeros().set_code(r, g, Spec::zero_type::format::encode(fitted.offset));
  }
}

/// Fits every group and stores scales and zero points; scales are quantized before any code is
/// made, so that codes are made for the scales that are stored.
template <quant_spec Spec, class Rule, executor Executor>
void fit_scales(quantized_matrix<Spec>& q, matrix_view<const float> values, const Rule& rule,
                const Executor& run) {
  constexpr offset_kind offset = offset_of<typename Spec::zero_type>;
  const scale_grid grid = q.grid();
  aligned_buffer<float> scales(grid.rows * grid.cols);
  aligned_buffer<float> offsets(offset == offset_kind::none ? 0 : grid.rows * grid.cols);
  run.for_each(grid.rows, [&](std::size_t gr) {
    const std::size_t first_row = gr * q.group_rows();
    const std::size_t last_row = std::min(first_row + q.group_rows(), values.rows());
    aligned_buffer<float> gathered(
        last_row - first_row > 1 ? (last_row - first_row) * q.group_cols() : 0);
    for (std::size_t gc = 0; gc < grid.cols; ++gc) {
      const std::size_t first = gc * q.group_cols();
      const std::size_t width = std::min(q.group_cols(), values.cols() - first);
      const float* group = values.row(first_row) + first;
      std::size_t size = width;
      if (last_row - first_row > 1) {
        size = 0;
        for (std::size_t r = first_row; r < last_row; ++r, size += width) {
          std::memcpy(gathered.data() + size, values.row(r) + first, width * sizeof(float));
        }
        group = gathered.data();
      }
      const group_fit fitted = fit_group<Spec>(rule, group, size);
      const std::size_t at = gr * grid.cols + gc;
      scales[at] = fitted.scale;
      if constexpr (offset != offset_kind::none) offsets[at] = fitted.offset;
    }
  });
  quantize_into(q.scales(), matrix_view<const float>(scales.data(), grid.rows, grid.cols), absmax{},
                serial{});
  if constexpr (offset != offset_kind::none) {
    quantize_into(q.zeros(), matrix_view<const float>(offsets.data(), grid.rows, grid.cols),
                  absmax{}, serial{});
  }
}

template <tensor_spec Spec, class Rule, executor Executor>
void quantize_into(quantized_matrix<Spec>& q, matrix_view<const float> values, const Rule& rule,
                   const Executor& run) {
  if constexpr (number_format<Spec>) {
    run.for_each(values.rows(), [&](std::size_t r) {
      for (std::size_t c = 0; c < values.cols(); ++c) {
        q.set_code(r, c, Spec::encode(values(r, c)));
      }
    });
  } else {
    if (values.rows() == 0 || values.cols() == 0) return;
    using element = typename Spec::element;
    fit_scales(q, values, rule, run);
    run.for_each(values.rows(), [&](std::size_t r) {
      const float* row = values.row(r);
      for (std::size_t first = 0; first < values.cols(); first += q.group_cols()) {
        const std::size_t last = std::min(first + q.group_cols(), values.cols());
        const float scale = q.scale(r, first);
        float zero_or_minimum = 0.0f;
        if constexpr (offset_of<typename Spec::zero_type> != offset_kind::none) {
          zero_or_minimum = q.zeros().value(r / q.group_rows(), first / q.group_cols());
        }
        // A scale that its own format rounds to zero stands for a group of zeros.
        if (!(scale != 0.0f)) continue;
        for (std::size_t c = first; c < last; ++c) {
          q.set_code(
              r, c,
              encode_scaled<element, typename Spec::zero_type>(row[c], scale, zero_or_minimum));
        }
      }
    });
  }
}

/// Throws unless every scale, zero point and minimum survived its format; groups count along rows.
/// @throws qompose::value_error naming the first that did not
template <tensor_spec Spec>
void require_finite_scales(const char* what, const quantized_matrix<Spec>& q,
                           std::size_t first_row = 0) {
  if constexpr (quant_spec<Spec>) {
    const scale_grid grid = q.grid();
    for (std::size_t r = 0; r < grid.rows; ++r) {
      for (std::size_t g = 0; g < grid.cols; ++g) {
        bool finite = std::isfinite(q.scales().value(r, g));
        if constexpr (!std::is_same_v<typename Spec::zero_type, no_zero>) {
          finite = finite && std::isfinite(q.zeros().value(r, g));
        }
        if (!finite) {
          throw value_error(std::string(what) + ": the scale or minimum of row " +
                            std::to_string(first_row + r * q.group_rows()) + ", group " +
                            std::to_string(g) +
                            " is past the range of its format; use scale<fp32> or bf16");
        }
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Stores a matrix as `Spec`.
///
/// @tparam Spec    a `quant<...>` or a bare format
/// @param  values  [rows, cols], finite
/// @param  rule    finds each group's scale: `absmax{}`, `mse_search{}`
/// @param  run     who runs the rows; the result does not depend on it
/// @return codes, scales and zero points; a group of zeros has scale 1 and codes of zero (scale 0
///         where scales are quantized themselves)
/// @throws qompose::value_error at the first NaN or infinity, and where a scale is too large for
/// its
///         own format
/// @par Cost  one pass over the values, `rule` passes more for the scales
template <tensor_spec Spec, class Rule = absmax, executor Executor = serial>
[[nodiscard]] quantized_matrix<Spec> quantize(matrix_view<const float> values,
                                              const Rule& rule = {}, const Executor& run = {}) {
  detail::require_finite("quantize", values);
  quantized_matrix<Spec> q(values.rows(), values.cols());
  detail::quantize_into(q, values, rule, run);
  detail::require_finite_scales("quantize", q);
  return q;
}

/// Fills `out` with the values that the codes stand for.
///
/// @param q    a quantized matrix, [rows, cols]
/// @param out  [rows, cols], overwritten
/// @param run  who runs the rows
/// @throws qompose::shape_error if the shapes disagree
template <tensor_spec Spec, executor Executor = serial>
void dequantize(const quantized_matrix<Spec>& q, matrix_view<float> out, const Executor& run = {}) {
  if (out.rows() != q.rows() || out.cols() != q.cols()) {
    throw_shape_error("dequantize: out", out.rows(), out.cols(), q.rows(), q.cols());
  }
  run.for_each(q.rows(), [&](std::size_t r) {
    for (std::size_t c = 0; c < q.cols(); ++c) out(r, c) = q.value(r, c);
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
