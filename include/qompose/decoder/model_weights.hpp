// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A model as it lies in its file: matrices still encoded, everything else in float.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/decoder/config.hpp"
#include "qompose/io/file_tensor.hpp"
#include "qompose/io/tensor_encoding.hpp"

namespace qompose {

/// A matrix that is going to be compressed, decoded row by row from where it lies. Cheap to copy;
/// copies share the source and, until one of them is scaled further, the scales.
struct weight_source {
  std::string name;
  std::size_t rows = 0;
  std::size_t cols = 0;
  const tensor_encoding* encoding = nullptr;
  /// The stored blocks, row after row.
  std::span<const std::byte> bytes;
  /// The file that `bytes` lie in; null when they do not lie in a file.
  std::shared_ptr<const mapped_file> file;
  /// The memory that `bytes` lie in when there is no file.
  std::shared_ptr<const std::vector<float>> memory;
  /// Factor of each row, [rows]; null for none.
  std::shared_ptr<const std::vector<float>> row_scale;
  /// Factor of each column, [cols]; null for none.
  std::shared_ptr<const std::vector<float>> column_scale;

  QOMPOSE_INLINE weight_source() = default;

  /// A tensor of a file.
  QOMPOSE_INLINE explicit weight_source(const file_tensor& tensor)
      : name(tensor.name),
        rows(tensor.rows()),
        cols(tensor.cols()),
        encoding(tensor.encoding),
        bytes(tensor.bytes),
        file(tensor.file) {}

  /// A matrix in memory, [rows, cols].
  /// @throws qompose::shape_error unless there are rows * cols values
  QOMPOSE_INLINE weight_source(std::string matrix_name, std::size_t n_rows, std::size_t n_cols,
                               std::vector<float> values)
      : name(std::move(matrix_name)),
        rows(n_rows),
        cols(n_cols),
        encoding(&f32_encoding),
        memory(std::make_shared<const std::vector<float>>(std::move(values))) {
    if (memory->size() != rows * cols) {
      throw shape_error(name + ": " + std::to_string(memory->size()) + " values, expected " +
                        std::to_string(rows) + " x " + std::to_string(cols));
    }
    bytes = std::as_bytes(std::span(*memory));
  }

  /// Decodes rows [first, first + count), scaled, into `out`, [count, cols].
  /// @throws qompose::argument_error unless the matrix has those rows
  QOMPOSE_INLINE void read_rows(std::size_t first, std::size_t count, float* out) const {
    if (first > rows || count > rows - first) {
      throw argument_error(name + ": rows from " + std::to_string(first) + ", " +
                           std::to_string(count) + " of them, of " + std::to_string(rows));
    }
    const std::size_t row_blocks = cols / encoding->block_size;
    const std::byte* blocks = bytes.data() + first * row_blocks * encoding->block_bytes;
    encoding->decode(blocks, count * row_blocks, out);
    for (std::size_t r = 0; row_scale && r < count; ++r) {
      const float factor = (*row_scale)[first + r];
      for (std::size_t c = 0; c < cols; ++c) out[r * cols + c] *= factor;
    }
    for (std::size_t r = 0; column_scale && r < count; ++r) {
      const float* factors = column_scale->data();
      for (std::size_t c = 0; c < cols; ++c) out[r * cols + c] *= factors[c];
    }
  }

  /// Multiplies row r by factors[r], besides what it is multiplied by already.
  /// @throws qompose::shape_error unless there is one factor a row
  QOMPOSE_INLINE void scale_rows(std::span<const float> factors) {
    row_scale = combined(row_scale, factors, rows, "row");
  }
  /// Multiplies column c by factors[c], besides what it is multiplied by already.
  /// @throws qompose::shape_error unless there is one factor a column
  QOMPOSE_INLINE void scale_columns(std::span<const float> factors) {
    column_scale = combined(column_scale, factors, cols, "column");
  }

  /// Drops the pages of the source from memory; they are read again when they are needed.
  QOMPOSE_INLINE void release() const noexcept {
    if (file) file->release(bytes);
  }

  /// How the source stores its elements: `F32`, `Q4_1`.
  [[nodiscard]] QOMPOSE_INLINE std::string encoding_name() const {
    return std::string(encoding->name);
  }

 private:
  [[nodiscard]] QOMPOSE_INLINE std::shared_ptr<const std::vector<float>> combined(
      const std::shared_ptr<const std::vector<float>>& before, std::span<const float> factors,
      std::size_t size, const char* of_what) const {
    if (factors.size() != size) {
      throw shape_error(name + ": " + std::to_string(factors.size()) + " factors, expected one a " +
                        of_what + ", " + std::to_string(size));
    }
    std::vector<float> product(factors.begin(), factors.end());
    for (std::size_t i = 0; before && i < size; ++i) product[i] *= (*before)[i];
    return std::make_shared<const std::vector<float>>(std::move(product));
  }
};

/// The weights of one decoder block. Vectors that the model does not have are empty.
struct layer_weights {
  weight_source q_proj;     ///< [n_heads * head_dim, dim]
  weight_source k_proj;     ///< [n_kv_heads * head_dim, dim]
  weight_source v_proj;     ///< [n_kv_heads * head_dim, dim]
  weight_source o_proj;     ///< [dim, n_heads * head_dim]
  weight_source gate_proj;  ///< [hidden_dim, dim]
  weight_source up_proj;    ///< [hidden_dim, dim]
  weight_source down_proj;  ///< [dim, hidden_dim]

  std::vector<float> attention_norm;  ///< [dim]
  std::vector<float> ffn_norm;        ///< [dim]
  std::vector<float> q_norm;          ///< [head_dim], or empty
  std::vector<float> k_norm;          ///< [head_dim], or empty

  std::vector<float> q_bias;     ///< as many as q_proj has rows, or empty; and so on
  std::vector<float> k_bias;     ///< see q_bias
  std::vector<float> v_bias;     ///< see q_bias
  std::vector<float> o_bias;     ///< see q_bias
  std::vector<float> gate_bias;  ///< see q_bias
  std::vector<float> up_bias;    ///< see q_bias
  std::vector<float> down_bias;  ///< see q_bias
};

/// A model that has been opened and checked, and not been read yet: every shape agrees with the
/// configuration, no matrix has been decoded. Its values are checked when they are compressed.
struct model_weights {
  decoder_config config;
  weight_source embedding;  ///< [vocab_size, dim]
  std::vector<layer_weights> layers;
  std::vector<float> final_norm;  ///< [dim]
  weight_source head;             ///< [vocab_size, dim]; the embedding when that is tied
  /// How the file stores the matrices, for people: `Q4_1 (embedding Q8_0)`.
  std::string source_precision;

  /// Number of values in all matrices and vectors, a tied embedding counted once.
  [[nodiscard]] QOMPOSE_INLINE std::size_t parameters() const {
    std::size_t n = embedding.rows * embedding.cols + final_norm.size();
    if (!config.tied_embedding) n += head.rows * head.cols;
    for (const layer_weights& l : layers) {
      for (const weight_source* m :
           {&l.q_proj, &l.k_proj, &l.v_proj, &l.o_proj, &l.gate_proj, &l.up_proj, &l.down_proj}) {
        n += m->rows * m->cols;
      }
      for (const std::vector<float>* v :
           {&l.attention_norm, &l.ffn_norm, &l.q_norm, &l.k_norm, &l.q_bias, &l.k_bias, &l.v_bias,
            &l.o_bias, &l.gate_bias, &l.up_bias, &l.down_bias}) {
        n += v->size();
      }
    }
    return n;
  }
};

}  // namespace qompose
