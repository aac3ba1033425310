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

/// The values of one row of scales or offsets.
template <tensor_spec Spec>
void decode_row_of(const quantized_matrix<Spec>& part, std::size_t r, float* out) {
  if constexpr (requires { part.codes().row(r); } && number_format<Spec>) {
    constexpr float unit = 1.0f;
    best_codec<Spec>().decode(part.codes().row(r), part.cols(), part.cols(), &unit, nullptr, out);
  } else {
    for (std::size_t g = 0; g < part.cols(); ++g) out[g] = part.value(r, g);
  }
}

/// Dequantizes whole rows; codes that are not bytes pass through a buffer on the stack.
template <tensor_spec Spec>
class row_dequantizer {
  using parts = spec_parts<Spec>;
  using element = typename parts::element;
  using code_type = typename element::storage_type;

 public:
  explicit row_dequantizer(const quantized_matrix<Spec>& q) : q_(q), step_(q.cols()) {
    if constexpr (quant_spec<Spec>) step_ = q.group_cols();
    groups_ = divide_up(q.cols(), step_);
    scales_ = aligned_buffer<float>(groups_);
    if constexpr (parts::has_zero) offsets_ = aligned_buffer<float>(groups_);
    for (std::size_t g = 0; g < groups_; ++g) scales_[g] = 1.0f;
  }

  void run(std::size_t r, float* out) {
    if constexpr (parts::has_scale) decode_row_of(q_.scales(), r / q_.group_rows(), scales_.data());
    if constexpr (parts::has_zero) decode_row_of(q_.zeros(), r / q_.group_rows(), offsets_.data());
    // Several whole groups at a time, or a part of one.
    const std::size_t together = step_ <= most_codes ? most_codes / step_ * step_ : step_;
    for (std::size_t first = 0; first < q_.cols(); first += together) {
      const std::size_t last = std::min(first + together, q_.cols());
      for (std::size_t at = first; at < last; at += most_codes) {
        decode(r, at, std::min(most_codes, last - at), at / step_, out + at);
      }
    }
  }

 private:
  static constexpr std::size_t most_codes = 2048;

  /// Codes [first, first + count) of row r; reading starts at a byte.
  const code_type* load(std::size_t r, std::size_t first, std::size_t count) {
    if constexpr (element::bits >= 8) {
      return q_.codes().row(r) + first;
    } else {
      const std::size_t extra = first % 8;
      kernels_.unpack(q_.codes().at(r, first - extra), count + extra, codes_);
      return codes_ + extra;
    }
  }

  void decode(std::size_t r, std::size_t first, std::size_t count, std::size_t group, float* out) {
    const code_type* codes = load(r, first, count);
    const std::size_t step = std::min(step_, count);
    if constexpr (parts::has_codebook) {
      constexpr auto size = static_cast<std::size_t>(element::entries);
      float entries[std::size_t{1} << element::bits] = {};
      for (std::size_t at = 0; at < count; at += step, ++group) {
        const std::size_t book = q_.codebook(r, first + at);
        for (std::size_t k = 0; k < size; ++k) entries[k] = q_.codebooks().value(book, k);
        kernels_.decode(codes + at, std::min(step, count - at), scales_[group], entries, out + at);
      }
    } else {
      const float* offsets = parts::has_zero ? offsets_.data() + group : nullptr;
      kernels_.decode(codes, count, step, scales_.data() + group, offsets, out);
    }
  }

  const quantized_matrix<Spec>& q_;
  std::size_t step_;
  std::size_t groups_ = 0;
  aligned_buffer<float> scales_;
  aligned_buffer<float> offsets_;
  decltype(best_codec<element, typename parts::zero_type>()) kernels_ =
      best_codec<element, typename parts::zero_type>();
  code_type codes_[most_codes + 8];
};

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
  const std::size_t step = std::max<std::size_t>(1, 16384 / q.cols());
  run.for_each(divide_up(q.rows(), step), [&](std::size_t i) {
    detail::row_dequantizer<Spec> rows(q);
    const std::size_t last = std::min((i + 1) * step, q.rows());
    for (std::size_t r = i * step; r < last; ++r) rows.run(r, out.row(r));
  });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
