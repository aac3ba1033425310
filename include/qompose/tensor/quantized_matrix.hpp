// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A matrix stored as a tensor spec says, codes packed tightly.

#include <cstddef>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/packing/packed_codes.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/fit.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// A [rows, cols] matrix stored as `Spec`; made by `quantize`, read by `dequantize`.
///
/// The scales are themselves a `quantized_matrix`, of the format of the scale slot, one element a
/// group: [scale rows, groups a row].
template <tensor_spec Spec>
class quantized_matrix;

namespace detail {

/// The empty stand-in for what a spec does not store.
struct nothing {
  QOMPOSE_INLINE nothing() noexcept = default;
  QOMPOSE_INLINE nothing(std::size_t, std::size_t) noexcept {}
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept { return 0; }
};

template <class Zero>
struct zero_storage {
  using type = nothing;
};
template <class Zero>
  requires(!std::is_same_v<Zero, no_zero>)
struct zero_storage<Zero> {
  using type = quantized_matrix<typename Zero::format>;
};

/// What the zero slot asks of a fitting rule.
template <class Zero>
inline constexpr offset_kind offset_of = is_minimum<Zero>      ? offset_kind::minimum
                                         : is_zero_point<Zero> ? offset_kind::zero_point
                                                               : offset_kind::none;

}  // namespace detail

/// A bare format: codes alone.
template <number_format Format>
class quantized_matrix<Format> {
 public:
  using spec = Format;
  using storage_type = typename Format::storage_type;

  QOMPOSE_INLINE quantized_matrix() noexcept = default;
  QOMPOSE_INLINE quantized_matrix(std::size_t rows, std::size_t cols)
      : rows_(rows), cols_(cols), codes_(rows, cols) {}

  [[nodiscard]] QOMPOSE_INLINE std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t cols() const noexcept { return cols_; }
  /// The code of element (r, c), unchecked.
  [[nodiscard]] QOMPOSE_INLINE storage_type code(std::size_t r, std::size_t c) const noexcept {
    return codes_.get(r, c);
  }
  /// The value that element (r, c) stands for, unchecked.
  [[nodiscard]] QOMPOSE_INLINE float value(std::size_t r, std::size_t c) const noexcept {
    return Format::decode(code(r, c));
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return codes_.storage_bytes();
  }
  QOMPOSE_INLINE void set_code(std::size_t r, std::size_t c, storage_type code) noexcept {
    codes_.set(r, c, code);
  }

 private:
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  packed_codes<Format> codes_;
};

/// Codes, scales and, where the spec has them, zero points or minima.
template <quant_spec Spec>
class quantized_matrix<Spec> {
 public:
  using spec = Spec;
  using element = typename Spec::element;
  using storage_type = typename element::storage_type;
  using scales_type = quantized_matrix<typename Spec::scale_type::format>;
  using zeros_type = typename detail::zero_storage<typename Spec::zero_type>::type;

  QOMPOSE_INLINE quantized_matrix() noexcept = default;
  /// All codes 0 and all scales 0; `quantize` fills it.
  QOMPOSE_INLINE quantized_matrix(std::size_t rows, std::size_t cols)
      : rows_(rows),
        cols_(cols),
        group_rows_(Spec::granularity_type::group_rows(rows)),
        group_cols_(Spec::granularity_type::group_cols(cols)),
        codes_(rows, cols),
        scales_(grid().rows, grid().cols),
        zeros_(grid().rows, grid().cols) {}

  [[nodiscard]] QOMPOSE_INLINE std::size_t rows() const noexcept { return rows_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t cols() const noexcept { return cols_; }
  /// Rows and columns that share a scale.
  [[nodiscard]] QOMPOSE_INLINE std::size_t group_rows() const noexcept { return group_rows_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t group_cols() const noexcept { return group_cols_; }
  /// Scale rows and scales a row.
  [[nodiscard]] QOMPOSE_INLINE scale_grid grid() const noexcept {
    return scales_of<typename Spec::granularity_type>(rows_, cols_);
  }

  /// The code of element (r, c), unchecked.
  [[nodiscard]] QOMPOSE_INLINE storage_type code(std::size_t r, std::size_t c) const noexcept {
    return codes_.get(r, c);
  }
  /// The scale of element (r, c), decoded, unchecked.
  [[nodiscard]] QOMPOSE_INLINE float scale(std::size_t r, std::size_t c) const noexcept {
    return scales_.value(r / group_rows_, c / group_cols_);
  }
  /// The stored code of the scale of group g of row r, unchecked.
  [[nodiscard]] QOMPOSE_INLINE auto scale_code(std::size_t r, std::size_t g) const noexcept {
    return scales_.code(r / group_rows_, g);
  }
  /// What is added to scale * code at element (r, c): 0, the minimum, or -scale * zero_point.
  [[nodiscard]] QOMPOSE_INLINE float offset(std::size_t r, std::size_t c) const noexcept {
    if constexpr (is_minimum<typename Spec::zero_type>) {
      return zeros_.value(r / group_rows_, c / group_cols_);
    } else if constexpr (is_zero_point<typename Spec::zero_type>) {
      return -scale(r, c) * zeros_.value(r / group_rows_, c / group_cols_);
    } else {
      return 0.0f;
    }
  }
  /// The value that element (r, c) stands for, unchecked.
  [[nodiscard]] QOMPOSE_INLINE float value(std::size_t r, std::size_t c) const noexcept {
    const float decoded = element::decode(code(r, c));
    if constexpr (is_zero_point<typename Spec::zero_type>) {
      return scale(r, c) * (decoded - zeros_.value(r / group_rows_, c / group_cols_));
    } else if constexpr (is_minimum<typename Spec::zero_type>) {
      const float product = scale(r, c) * decoded;
      return product + offset(r, c);
    } else {
      return scale(r, c) * decoded;
    }
  }
  /// Bytes of codes, scales and zero points.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return codes_.storage_bytes() + scales_.storage_bytes() + zeros_.storage_bytes();
  }

  QOMPOSE_INLINE void set_code(std::size_t r, std::size_t c, storage_type code) noexcept {
    codes_.set(r, c, code);
  }
  [[nodiscard]] QOMPOSE_INLINE scales_type& scales() noexcept { return scales_; }
  [[nodiscard]] QOMPOSE_INLINE const scales_type& scales() const noexcept { return scales_; }
  /// Zero points or minima; an empty object where the spec has neither.
  [[nodiscard]] QOMPOSE_INLINE zeros_type& zeros() noexcept { return zeros_; }
  [[nodiscard]] QOMPOSE_INLINE const zeros_type& zeros() const noexcept { return zeros_; }

 private:
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t group_rows_ = 1;
  std::size_t group_cols_ = 1;
  packed_codes<element> codes_;
  scales_type scales_;
  [[no_unique_address]] zeros_type zeros_;
};

}  // namespace qompose
