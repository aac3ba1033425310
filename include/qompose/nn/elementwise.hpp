// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief RMSNorm, SwiGLU and the residual sum, row by row.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>

#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/recipe/bits.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// f(r) for every row, some rows a piece; few rows stay on the calling thread.
template <executor Executor, class F>
void for_each_row(std::size_t rows, const Executor& run, F&& f) {
  constexpr std::size_t rows_a_piece = 16;
  const auto piece = [&](std::size_t i) {
    const std::size_t last = std::min(rows, (i + 1) * rows_a_piece);
    for (std::size_t r = i * rows_a_piece; r < last; ++r) f(r);
  };
  const std::size_t pieces = divide_up(rows, rows_a_piece);
  if (pieces <= 1) {
    serial{}.for_each(pieces, piece);
  } else {
    run.for_each(pieces, piece);
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// y = x / sqrt(mean(x^2) + epsilon) * gain, row by row.
///
/// @param x        [n, dim]
/// @param gain     [dim]
/// @param epsilon  > 0
/// @param y        [n, dim], overwritten; must not overlap x
/// @param run      who runs the rows
/// @throws qompose::shape_error if the shapes disagree
/// @par Source  Zhang and Sennrich, NeurIPS 2019, arXiv:1910.07467, equation 4
template <executor Executor = serial, class Isa = isa_tag>
void rms_norm(matrix_view<const float> x, std::span<const float> gain, float epsilon,
              matrix_view<float> y, const Executor& run = {}) {
  if (gain.size() != x.cols()) {
    throw shape_error("rms_norm: gain: " + std::to_string(gain.size()) + " elements, expected " +
                      std::to_string(x.cols()));
  }
  if (y.rows() != x.rows() || y.cols() != x.cols()) {
    throw_shape_error("rms_norm: y", y.rows(), y.cols(), x.rows(), x.cols());
  }
  const auto kernel =
      detail::with_best_target<Isa>([]<class Target>() { return &Target::elementwise::RmsNorm; });
  detail::for_each_row(x.rows(), run, [&](std::size_t r) {
    kernel(x.row(r), gain.data(), epsilon, y.row(r), x.cols());
  });
}

/// y += x, row by row.
///
/// @param x    [n, dim]
/// @param y    [n, dim]
/// @param run  who runs the rows
/// @throws qompose::shape_error if the shapes disagree
template <executor Executor = serial, class Isa = isa_tag>
void add(matrix_view<const float> x, matrix_view<float> y, const Executor& run = {}) {
  if (y.rows() != x.rows() || y.cols() != x.cols()) {
    throw_shape_error("add: y", y.rows(), y.cols(), x.rows(), x.cols());
  }
  const auto kernel =
      detail::with_best_target<Isa>([]<class Target>() { return &Target::elementwise::Add; });
  detail::for_each_row(x.rows(), run, [&](std::size_t r) { kernel(x.row(r), y.row(r), x.cols()); });
}

/// y = silu(gate) * up, where a row of `gate_up` holds gate, then up.
///
/// @param gate_up  [n, 2 * hidden_dim]
/// @param y        [n, hidden_dim], overwritten; must not overlap gate_up
/// @param run      who runs the rows
/// @throws qompose::shape_error if the shapes disagree
/// @par Source  Shazeer, "GLU Variants Improve Transformer", 2020, arXiv:2002.05202
template <executor Executor = serial, class Isa = isa_tag>
void swiglu(matrix_view<const float> gate_up, matrix_view<float> y, const Executor& run = {}) {
  if (gate_up.rows() != y.rows() || gate_up.cols() != 2 * y.cols()) {
    throw_shape_error("swiglu: gate_up", gate_up.rows(), gate_up.cols(), y.rows(), 2 * y.cols());
  }
  const auto kernel =
      detail::with_best_target<Isa>([]<class Target>() { return &Target::elementwise::SwiGlu; });
  detail::for_each_row(y.rows(), run, [&](std::size_t r) {
    kernel(gate_up.row(r), gate_up.row(r) + y.cols(), y.row(r), y.cols());
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
