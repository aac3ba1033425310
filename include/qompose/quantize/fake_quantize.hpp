// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rounds floats to what a spec can store, without storing anything.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>

#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/quantize/quantize_row.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/rules/default_rule.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Whether a row can be rounded group by group, with nothing but a few codes in between.
template <tensor_spec Spec>
inline constexpr bool is_rounded_in_place = [] {
  if constexpr (number_format<Spec>) {
    return true;
  } else if constexpr (learned_format<typename Spec::element>) {
    return false;
  } else {
    return has_independent_scales<Spec> && Spec::granularity_type::group_rows(2) == 1;
  }
}();

/// Rounds one row in place, as quantizing and dequantizing it would; groups that span rows are cut
/// at its ends. No allocation unless scales are quantized themselves or codebooks are learned.
///
/// @return false where a value is NaN or infinite or a scale overflows; the row is NaN then
template <tensor_spec Spec, class Rule = default_rule>
bool round_row(float* row, std::size_t n, const Rule& rule = {}) {
  if constexpr (std::is_same_v<Spec, fp32>) {
    return true;
  } else if constexpr (number_format<Spec>) {
    const auto kernels = best_codec<Spec>();
    value_range range;
    kernels.ranges(row, n, n, true, &range);
    if (range.highest == range.highest) {
      constexpr std::size_t piece = 512;
      constexpr float unit = 1.0f;
      typename Spec::storage_type codes[piece];
      for (std::size_t first = 0; first < n; first += piece) {
        const std::size_t size = std::min(piece, n - first);
        kernels.encode(row + first, size, size, &unit, nullptr, nullptr, codes);
        kernels.decode(codes, size, size, &unit, nullptr, row + first);
      }
      return true;
    }
  } else if constexpr (is_rounded_in_place<Spec>) {
    row_quantizer<Spec, Rule> rounder(rule);
    if (rounder.round(row, n).fault == group_fault::none) return true;
  } else {
    quantized_matrix<Spec> q(1, n);
    const quantize_result result =
        quantize_into(q, matrix_view<const float>(row, 1, n), rule, serial{});
    if (result.is_finite && result.overflowed == quantize_result::none) {
      dequantize(q, matrix_view<float>(row, 1, n));
      return true;
    }
  }
  std::fill_n(row, n, std::numeric_limits<float>::quiet_NaN());
  return false;
}

/// Whether values up to `peak` have scales and minima that their formats can hold, whatever the
/// rule.
template <tensor_spec Spec>
[[nodiscard]] bool no_scale_overflows(float peak) noexcept {
  if constexpr (number_format<Spec>) {
    return true;
  } else {
    bool held = can_hold<typename Spec::scale_type::format>(4.0f * peak);
    if constexpr (is_minimum<typename Spec::zero_type>) {
      held = held && can_hold<typename Spec::zero_type::format>(4.0f * peak);
    }
    return held;
  }
}

/// What a kernel calls to round a row of activations to `Spec`.
template <tensor_spec Spec>
struct round_to {
  QOMPOSE_INLINE static void Run(float* row, std::size_t n) { round_row<Spec>(row, n); }
};

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Rounds a matrix to what `Spec` can store: the same floats as `dequantize(quantize<Spec>(x))`, in
/// one pass where scales do not depend on each other.
///
/// @tparam Spec  a `quant<...>` or a bare format
/// @param  x     [rows, cols], finite
/// @param  out   [rows, cols], overwritten; may be x itself, and may not overlap it otherwise
/// @param  rule  finds each group's scale, as for `quantize`
/// @param  run   who runs the rows; the result does not depend on it
/// @throws qompose::shape_error if the shapes disagree, qompose::value_error as `quantize` does;
///         `out` is not changed then
template <tensor_spec Spec, class Rule = default_rule, executor Executor = serial>
void fake_quantize(matrix_view<const float> x, matrix_view<float> out, const Rule& rule = {},
                   const Executor& run = {}) {
  if (out.rows() != x.rows() || out.cols() != x.cols()) {
    throw_shape_error("fake_quantize: out", out.rows(), out.cols(), x.rows(), x.cols());
  }
  const float peak = detail::require_finite("fake_quantize", x);
  if constexpr (detail::is_rounded_in_place<Spec>) {
    if (detail::no_scale_overflows<Spec>(peak)) {
      run.for_each(x.rows(), [&](std::size_t r) {
        if (out.row(r) != x.row(r)) std::memcpy(out.row(r), x.row(r), x.cols() * sizeof(float));
        detail::round_row<Spec>(out.row(r), x.cols(), rule);
      });
      return;
    }
  }
  quantized_matrix<Spec> q(x.rows(), x.cols());
  detail::quantize_or_throw("fake_quantize", q, x, rule, run);
  dequantize(q, out, run);
}

/// The same in place.
template <tensor_spec Spec, fitting_rule Rule = default_rule, executor Executor = serial>
void fake_quantize(matrix_view<float> x, const Rule& rule = {}, const Executor& run = {}) {
  fake_quantize<Spec>(matrix_view<const float>(x), x, rule, run);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
