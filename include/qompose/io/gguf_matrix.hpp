// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Quantized matrices as tensors of a GGUF file.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/io/ggml_encodings.hpp"
#include "qompose/io/gguf_twin.hpp"
#include "qompose/io/gguf_writer.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose {

/// A composition whose tensors have a scale as a whole, which GGUF keeps in a second tensor.
template <class Spec>
concept has_gguf_tensor_scale = has_gguf_twin<Spec> && requires(const quantized_matrix<Spec>& q) {
  gguf_twin<Spec>::tensor_scale(q);
};

namespace detail {
inline namespace QOMPOSE_ISA {

/// Throws unless GGUF's type has every scale.
/// @throws qompose::value_error naming the first that it has not
template <tensor_spec Spec>
void require_gguf_scales(const quantized_matrix<Spec>& q) {
  if constexpr (requires { gguf_twin<Spec>::holds(q.scale_code(0, 0)); }) {
    const scale_grid grid = q.grid();
    for (std::size_t r = 0; r < grid.rows; ++r) {
      for (std::size_t g = 0; g < grid.cols; ++g) {
        if (gguf_twin<Spec>::holds(q.scale_code(r, g))) continue;
        throw value_error("gguf_blocks: the scale of row " + std::to_string(r) + ", group " +
                          std::to_string(g) + " is negative or NaN, which " +
                          ggml_type_text(gguf_twin<Spec>::type) + " does not have");
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// The name of the tensor with the scale of a whole tensor: `a.scale` for `a.weight`.
[[nodiscard]] inline std::string gguf_scale_name(std::string_view name) {
  constexpr std::string_view ending = ".weight";
  if (name.ends_with(ending)) name.remove_suffix(ending.size());
  return std::string(name) + ".scale";
}

/// The blocks of a quantized matrix as GGUF stores them, row after row; gguf_twin.hpp says what of
/// it is exact.
///
/// @param q    [rows, cols], cols a whole number of blocks
/// @param run  who runs the rows
/// @throws qompose::shape_error naming the block size if a row is not a whole number of blocks
/// @throws qompose::value_error if a scale is negative or NaN and the type has no such scale
/// @par Cost  one pass over the codes
template <tensor_spec Spec, executor Executor = serial>
[[nodiscard]] std::vector<std::byte> gguf_blocks(const quantized_matrix<Spec>& q,
                                                 const Executor& run = {}) {
  static_assert(has_gguf_twin<Spec>,
                "qompose: gguf_blocks: GGUF has no type for this composition; use one that "
                "io/gguf_twin.hpp lists, such as quant<int4, per_group<32>, scale<fp16>>");
  if constexpr (has_gguf_twin<Spec>) {
    const tensor_encoding& encoding = *find_ggml_encoding(gguf_twin<Spec>::type);
    if (q.cols() % encoding.block_size != 0) {
      throw shape_error("gguf_blocks: rows of " + std::to_string(q.cols()) +
                        " elements, expected a multiple of " + std::to_string(encoding.block_size) +
                        " for " + std::string(encoding.name));
    }
    detail::require_gguf_scales(q);
    const std::size_t row_blocks = q.cols() / encoding.block_size;
    std::vector<std::byte> bytes(q.rows() * row_blocks * encoding.block_bytes);
    run.for_each(q.rows(), [&](std::size_t r) {
      std::byte* to = bytes.data() + r * row_blocks * encoding.block_bytes;
      for (std::size_t b = 0; b < row_blocks; ++b, to += encoding.block_bytes) {
        gguf_twin<Spec>::store(q, r, b, to);
      }
    });
    return bytes;
  } else {
    return {};
  }
}

/// Declares a matrix and, where it has a scale as a whole, the tensor of that scale after it.
/// @throws as @ref gguf_writer::declare does
template <has_gguf_twin Spec>
void declare_matrix(gguf_writer& out, std::string_view name, std::size_t rows, std::size_t cols) {
  out.declare(name, {rows, cols}, gguf_twin<Spec>::type);
  if constexpr (has_gguf_tensor_scale<Spec>) {
    out.declare(gguf_scale_name(name), {std::size_t{1}}, gguf_twin<fp32>::type);
  }
}

/// Writes a matrix, or some rows of one, that @ref declare_matrix declared; and its scale. A matrix
/// with a scale as a whole is written in one call.
/// @throws as @ref gguf_blocks and @ref gguf_writer::write do
template <tensor_spec Spec, executor Executor = serial>
void write_matrix(gguf_writer& out, std::string_view name, const quantized_matrix<Spec>& q,
                  const Executor& run = {}) {
  out.write(name, gguf_blocks(q, run));
  if constexpr (has_gguf_tensor_scale<Spec>) {
    const float factor = gguf_twin<Spec>::tensor_scale(q);
    out.write(gguf_scale_name(name), std::as_bytes(std::span(&factor, 1)));
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
