// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A tensor that lies in a mapped file.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/mapped_file.hpp"
#include "qompose/io/tensor_encoding.hpp"

namespace qompose {

/// One tensor of a file: its name, shape and bytes, decoded on demand. Readers make it with
/// @ref make_file_tensor, which checks everything that @ref decode_rows relies on.
struct file_tensor {
  /// As the file spells it.
  std::string name;
  /// Outermost dimension first; {n} for a vector. None is 0.
  std::vector<std::size_t> shape;
  const tensor_encoding* encoding = nullptr;
  /// The stored blocks, row after row.
  std::span<const std::byte> bytes;
  /// Keeps `bytes` mapped.
  std::shared_ptr<const mapped_file> file;

  /// Number of elements in a row: the innermost dimension.
  [[nodiscard]] QOMPOSE_INLINE std::size_t cols() const noexcept { return shape.back(); }

  /// Product of the outer dimensions; 1 for a vector.
  [[nodiscard]] QOMPOSE_INLINE std::size_t rows() const noexcept {
    std::size_t n = 1;
    for (std::size_t i = 0; i + 1 < shape.size(); ++i) n *= shape[i];
    return n;
  }

  /// Decodes rows [first, first + count) into `out`, [count, cols()].
  /// @throws qompose::argument_error unless the tensor has those rows
  QOMPOSE_INLINE void decode_rows(std::size_t first, std::size_t count, float* out) const {
    if (first > rows() || count > rows() - first) {
      throw argument_error(name + ": rows from " + std::to_string(first) + ", " +
                           std::to_string(count) + " of them, of " + std::to_string(rows()));
    }
    const std::size_t row_blocks = cols() / encoding->block_size;
    encoding->decode(bytes.data() + first * row_blocks * encoding->block_bytes, count * row_blocks,
                     out);
  }
};

inline namespace QOMPOSE_ISA {

/// Bytes that a tensor takes in a file.
/// @throws qompose::file_error for no dimensions, a dimension of 0, a row that is not a whole
///         number of blocks, or a size that overflows
[[nodiscard]] inline std::size_t stored_bytes(const std::string& name,
                                              std::span<const std::size_t> shape,
                                              const tensor_encoding& encoding) {
  if (shape.empty()) throw file_error(name + ": has no dimensions");
  std::size_t elements = 1;
  for (const std::size_t dimension : shape) {
    if (dimension == 0) {
      throw file_error(name + ": shape " + shape_text(shape) + " has a dimension of 0");
    }
    elements = checked_product(elements, dimension, name);
  }
  if (shape.back() % encoding.block_size != 0) {
    throw file_error(name + ": rows of " + std::to_string(shape.back()) +
                     " elements, expected a multiple of " + std::to_string(encoding.block_size) +
                     " for " + std::string(encoding.name));
  }
  // A float array of this many elements must be thinkable, too.
  static_cast<void>(checked_product(elements, sizeof(float), name));
  return checked_product(elements / encoding.block_size, encoding.block_bytes, name);
}

/// A tensor whose bytes begin at `offset` of `file`.
/// @throws qompose::file_error as @ref stored_bytes does, and when the bytes end past the file
[[nodiscard]] inline file_tensor make_file_tensor(std::string name, std::vector<std::size_t> shape,
                                                  const tensor_encoding& encoding,
                                                  std::shared_ptr<const mapped_file> file,
                                                  std::size_t offset) {
  const std::size_t size = stored_bytes(name, shape, encoding);
  const std::span<const std::byte> all = file->bytes();
  if (offset > all.size() || size > all.size() - offset) {
    throw file_error(name + ": " + std::to_string(size) + " bytes from offset " +
                     std::to_string(offset) + " go past the end of the file, which has " +
                     std::to_string(all.size()));
  }
  return {std::move(name), std::move(shape), &encoding, all.subspan(offset, size), std::move(file)};
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
