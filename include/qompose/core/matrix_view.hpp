// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The view type at the border between the library and everybody's matrices.

#include <concepts>
#include <cstddef>
#include <string>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"

namespace qompose {

/// A row-major matrix somebody else owns: [rows, cols], rows `row_stride` elements apart.
///
/// Trivially copyable; pass it by value. The elements of a row are contiguous.
template <class T>
class matrix_view {
 public:
  using value_type = T;

  constexpr matrix_view() = default;

  /// @param data        first element; any alignment that T allows
  /// @param rows        number of rows
  /// @param cols        number of elements a row
  QOMPOSE_INLINE constexpr matrix_view(T* data, std::size_t rows, std::size_t cols) noexcept
      : matrix_view(data, rows, cols, cols) {}

  /// @param data        first element; any alignment that T allows
  /// @param rows        number of rows
  /// @param cols        number of elements a row
  /// @param row_stride  elements from the start of one row to the start of the next, >= cols
  QOMPOSE_INLINE constexpr matrix_view(T* data, std::size_t rows, std::size_t cols,
                                       std::size_t row_stride) noexcept
      : data_(data), rows_(rows), cols_(cols), row_stride_(row_stride) {}

  /// A view of mutable elements is a view of constant ones.
  template <class U>
    requires(std::is_same_v<const U, T>)
  QOMPOSE_INLINE constexpr matrix_view(matrix_view<U> other) noexcept
      : matrix_view(other.data(), other.rows(), other.cols(), other.row_stride()) {}

  [[nodiscard]] QOMPOSE_INLINE constexpr T* data() const noexcept { return data_; }
  [[nodiscard]] QOMPOSE_INLINE constexpr std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] QOMPOSE_INLINE constexpr std::size_t cols() const noexcept { return cols_; }
  [[nodiscard]] QOMPOSE_INLINE constexpr std::size_t row_stride() const noexcept {
    return row_stride_;
  }
  /// First element of row r, unchecked.
  [[nodiscard]] QOMPOSE_INLINE constexpr T* row(std::size_t r) const noexcept {
    return data_ + r * row_stride_;
  }
  /// Element (r, c), unchecked.
  QOMPOSE_INLINE constexpr T& operator()(std::size_t r, std::size_t c) const noexcept {
    return data_[r * row_stride_ + c];
  }
  /// Rows [first, first + count), unchecked.
  [[nodiscard]] QOMPOSE_INLINE constexpr matrix_view rows(std::size_t first,
                                                          std::size_t count) const noexcept {
    return {row(first), count, cols_, row_stride_};
  }

 private:
  T* data_ = nullptr;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t row_stride_ = 0;
};

/// What `as_matrix` takes: a two-dimensional container that knows its shape and its strides,
/// as xtensor's and mdspan-like types do.
template <class E>
concept strided_matrix = requires(E& e) {
  { *e.data() };
  { e.shape()[0] } -> std::convertible_to<std::size_t>;
  { e.strides()[0] } -> std::convertible_to<std::ptrdiff_t>;
  { e.shape().size() } -> std::convertible_to<std::size_t>;
};

inline namespace QOMPOSE_ISA {

/// A view of a two-dimensional row-major container, without a copy and without its header.
///
/// @param e  container with `data()`, `shape()` and `strides()` (in elements); it must outlive
///           the view
/// @return   [shape[0], shape[1]]
/// @throws qompose::shape_error unless it has two dimensions and the elements of a row are
///         contiguous (a column-major container is refused)
template <strided_matrix E>
[[nodiscard]] auto as_matrix(E& e) {
  using element = std::remove_pointer_t<decltype(e.data())>;
  if (e.shape().size() != 2) {
    throw shape_error("as_matrix: " + std::to_string(e.shape().size()) + " dimensions, expected 2");
  }
  const auto rows = static_cast<std::size_t>(e.shape()[0]);
  const auto cols = static_cast<std::size_t>(e.shape()[1]);
  const auto row_stride = static_cast<std::ptrdiff_t>(e.strides()[0]);
  const auto col_stride = static_cast<std::ptrdiff_t>(e.strides()[1]);
  // An axis of length one may report any stride, xtensor's is 0.
  if (cols > 1 && col_stride != 1) {
    throw shape_error("as_matrix: the elements of a row are " + std::to_string(col_stride) +
                      " apart, expected 1; evaluate into a row-major container first");
  }
  if (rows > 1 && (row_stride < 0 || static_cast<std::size_t>(row_stride) < cols)) {
    throw shape_error("as_matrix: rows are " + std::to_string(row_stride) +
                      " apart, expected at least " + std::to_string(cols));
  }
  return matrix_view<element>(e.data(), rows, cols,
                              rows > 1 ? static_cast<std::size_t>(row_stride) : cols);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
