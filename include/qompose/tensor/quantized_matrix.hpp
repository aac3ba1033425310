// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A matrix stored as a tensor spec says, codes packed tightly.

#include <cstddef>
#include <type_traits>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/tensor/packed_codes.hpp"

namespace qompose {

/// A [rows, cols] matrix stored as `Spec`; made by `quantize`, read by `dequantize`.
///
/// The scales are themselves a `quantized_matrix`, of the format of the scale slot, one element a
/// group: [scale rows, groups a row].
template <tensor_spec Spec>
class quantized_matrix;

namespace detail {

/// Asks for a matrix whose codes are elsewhere.
struct without_codes {};

/// The empty stand-in for what a spec does not store; members of one object differ in `Which`, as
/// two empty objects of one type may not share an address.
template <int Which>
struct nothing {
  QOMPOSE_INLINE nothing() noexcept = default;
  QOMPOSE_INLINE nothing(std::size_t, std::size_t) noexcept {}
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept { return 0; }
};

/// `quantized_matrix<Format>`, or nothing where `Format` is void.
template <class Format, int Which>
struct part_storage {
  using type = quantized_matrix<Format>;
};
template <int Which>
struct part_storage<void, Which> {
  using type = nothing<Which>;
};

/// The format of a codebook's entries, void for formats with fixed values.
template <class Element>
struct entry_of {
  using type = void;
};
template <learned_format Element>
struct entry_of<Element> {
  using type = typename Element::entry;
};

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
  /// Codes that are to be set, all of them.
  QOMPOSE_INLINE quantized_matrix(std::size_t rows, std::size_t cols, uninitialized tag)
      : rows_(rows), cols_(cols), codes_(rows, cols, tag) {}
  QOMPOSE_INLINE quantized_matrix(std::size_t rows, std::size_t cols, detail::without_codes)
      : rows_(rows), cols_(cols) {}

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
  /// The packed codes, row by row.
  [[nodiscard]] QOMPOSE_INLINE packed_codes<Format>& codes() noexcept { return codes_; }
  [[nodiscard]] QOMPOSE_INLINE const packed_codes<Format>& codes() const noexcept { return codes_; }

 private:
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  packed_codes<Format> codes_;
};

/// Codes and, where the spec has them, scales, zero points or minima, and codebooks.
template <quant_spec Spec>
class quantized_matrix<Spec> {
  using parts = detail::spec_parts<Spec>;

 public:
  using spec = Spec;
  using element = typename Spec::element;
  using storage_type = typename element::storage_type;
  using scales_type = typename detail::part_storage<typename parts::scale_format, 0>::type;
  using zeros_type = typename detail::part_storage<typename Spec::zero_type::format, 1>::type;
  using codebooks_type =
      typename detail::part_storage<typename detail::entry_of<element>::type, 2>::type;

  QOMPOSE_INLINE quantized_matrix() noexcept = default;
  /// All codes 0 and all scales 0; `quantize` fills it.
  QOMPOSE_INLINE quantized_matrix(std::size_t rows, std::size_t cols)
      : rows_(rows),
        cols_(cols),
        group_rows_(Spec::granularity_type::group_rows(rows)),
        group_cols_(Spec::granularity_type::group_cols(cols)),
        codes_(rows, cols),
        scales_(grid().rows, grid().cols),
        zeros_(grid().rows, grid().cols),
        codebooks_(codebooks_of<Spec>(rows, cols), entries) {}
  /// Codes that are to be set, all of them, row by row; everything else is 0.
  QOMPOSE_INLINE quantized_matrix(std::size_t rows, std::size_t cols, uninitialized tag)
      : rows_(rows),
        cols_(cols),
        group_rows_(Spec::granularity_type::group_rows(rows)),
        group_cols_(Spec::granularity_type::group_cols(cols)),
        codes_(rows, cols, tag),
        scales_(grid().rows, grid().cols),
        zeros_(grid().rows, grid().cols),
        codebooks_(codebooks_of<Spec>(rows, cols), entries) {}
  /// Scales, zero points and codebooks alone: `codes()` is empty, and no element may be asked for.
  QOMPOSE_INLINE quantized_matrix(std::size_t rows, std::size_t cols, detail::without_codes)
      : rows_(rows),
        cols_(cols),
        group_rows_(Spec::granularity_type::group_rows(rows)),
        group_cols_(Spec::granularity_type::group_cols(cols)),
        scales_(grid().rows, grid().cols),
        zeros_(grid().rows, grid().cols),
        codebooks_(codebooks_of<Spec>(rows, cols), entries) {}

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
  /// The scale of element (r, c), decoded, unchecked; 1 where the spec has none.
  [[nodiscard]] QOMPOSE_INLINE float scale(std::size_t r, std::size_t c) const noexcept {
    if constexpr (parts::has_scale) {
      return scales_.value(r / group_rows_, c / group_cols_);
    } else {
      return 1.0f;
    }
  }
  /// The stored code of the scale of group g of row r, unchecked.
  [[nodiscard]] QOMPOSE_INLINE auto scale_code(std::size_t r, std::size_t g) const noexcept {
    static_assert(parts::has_scale,
                  "qompose: quantized_matrix: this spec stores no scale; read codebooks() instead");
    return scales_.code(r / group_rows_, g);
  }
  /// The zero point or minimum of element (r, c), decoded, unchecked; 0 where the spec has neither.
  [[nodiscard]] QOMPOSE_INLINE float zero_or_minimum(std::size_t r, std::size_t c) const noexcept {
    if constexpr (parts::has_zero) {
      return zeros_.value(r / group_rows_, c / group_cols_);
    } else {
      return 0.0f;
    }
  }
  /// What is added to scale * code at element (r, c): 0, the minimum, or -scale * zero_point.
  [[nodiscard]] QOMPOSE_INLINE float offset(std::size_t r, std::size_t c) const noexcept {
    if constexpr (is_zero_point<typename Spec::zero_type>) {
      return -scale(r, c) * zero_or_minimum(r, c);
    } else {
      return zero_or_minimum(r, c);
    }
  }
  /// The row of `codebooks()` that element (r, c) uses, unchecked.
  [[nodiscard]] QOMPOSE_INLINE std::size_t codebook(std::size_t r, std::size_t c) const noexcept {
    return is_shared_codebook<element> ? 0 : r / group_rows_ * grid().cols + c / group_cols_;
  }
  /// What the code of element (r, c) stands for before scale and offset, unchecked.
  [[nodiscard]] QOMPOSE_INLINE float decoded(std::size_t r, std::size_t c) const noexcept {
    if constexpr (parts::has_codebook) {
      return codebooks_.value(codebook(r, c), code(r, c));
    } else {
      return element::decode(code(r, c));
    }
  }
  /// The value that element (r, c) stands for, unchecked.
  [[nodiscard]] QOMPOSE_INLINE float value(std::size_t r, std::size_t c) const noexcept {
    if constexpr (!parts::has_scale) {
      return decoded(r, c);
    } else if constexpr (is_zero_point<typename Spec::zero_type>) {
      return scale(r, c) * (decoded(r, c) - zero_or_minimum(r, c));
    } else if constexpr (is_minimum<typename Spec::zero_type>) {
      const float product = scale(r, c) * decoded(r, c);
      return product + zero_or_minimum(r, c);
    } else {
      return scale(r, c) * decoded(r, c);
    }
  }
  /// Bytes of codes, scales, zero points and codebooks.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return codes_.storage_bytes() + scales_.storage_bytes() + zeros_.storage_bytes() +
           codebooks_.storage_bytes();
  }

  QOMPOSE_INLINE void set_code(std::size_t r, std::size_t c, storage_type code) noexcept {
    codes_.set(r, c, code);
  }
  /// The packed codes, row by row.
  [[nodiscard]] QOMPOSE_INLINE packed_codes<element>& codes() noexcept { return codes_; }
  [[nodiscard]] QOMPOSE_INLINE const packed_codes<element>& codes() const noexcept {
    return codes_;
  }
  /// One element a group; an empty object where the spec has no scales.
  [[nodiscard]] QOMPOSE_INLINE scales_type& scales() noexcept { return scales_; }
  [[nodiscard]] QOMPOSE_INLINE const scales_type& scales() const noexcept { return scales_; }
  /// Zero points or minima; an empty object where the spec has neither.
  [[nodiscard]] QOMPOSE_INLINE zeros_type& zeros() noexcept { return zeros_; }
  [[nodiscard]] QOMPOSE_INLINE const zeros_type& zeros() const noexcept { return zeros_; }
  /// [codebooks, entries], groups row by row; an empty object where values are fixed.
  [[nodiscard]] QOMPOSE_INLINE codebooks_type& codebooks() noexcept { return codebooks_; }
  [[nodiscard]] QOMPOSE_INLINE const codebooks_type& codebooks() const noexcept {
    return codebooks_;
  }

 private:
  static constexpr std::size_t entries = [] {
    if constexpr (parts::has_codebook) {
      return static_cast<std::size_t>(element::entries);
    } else {
      return std::size_t{0};
    }
  }();

  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t group_rows_ = 1;
  std::size_t group_cols_ = 1;
  packed_codes<element> codes_;
  [[no_unique_address]] scales_type scales_;
  [[no_unique_address]] zeros_type zeros_;
  [[no_unique_address]] codebooks_type codebooks_;
};

}  // namespace qompose
