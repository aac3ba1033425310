// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A quantized matrix in panels, as the kernels read it; lossless both ways.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/shared_bytes.hpp"
#include "qompose/packing/panel_scales.hpp"
#include "qompose/packing/panels.hpp"
#include "qompose/packing/planes.hpp"
#include "qompose/packing/tight_parts.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// How many rows have to be quantized together, or a multiple of them; 0 where all have to.
template <tensor_spec Spec>
constexpr std::size_t rows_that_share() noexcept {
  if constexpr (number_format<Spec>) {
    return 1;
  } else {
    constexpr std::size_t many = std::size_t{1} << 30;
    constexpr std::size_t height = Spec::granularity_type::group_rows(many);
    constexpr std::size_t scales = [] {
      if constexpr (spec_parts<Spec>::has_scale) {
        return rows_that_share<typename Spec::scale_type::format>();
      } else {
        return std::size_t{1};
      }
    }();
    constexpr std::size_t zeros = [] {
      if constexpr (spec_parts<Spec>::has_zero) {
        return rows_that_share<typename Spec::zero_type::format>();
      } else {
        return std::size_t{1};
      }
    }();
    if constexpr (height == many || is_shared_codebook<typename Spec::element>) return 0;
    return height * std::lcm(scales, zeros);
  }
}

}  // namespace QOMPOSE_ISA

/// Bytes of a packed matrix, for the kernels.
struct panel_pointers {
  const std::uint8_t* panels = nullptr;
  std::size_t panel_bytes = 0;
  const std::uint8_t* scales = nullptr;   ///< those beside the panels
  const std::uint8_t* offsets = nullptr;  ///< the same
  const float* codebooks = nullptr;
  const float* row_scales = nullptr;
};

}  // namespace detail

/// A [rows, cols] matrix stored as `Spec` in panels of 16 rows.
template <tensor_spec Spec>
class packed_matrix {
 public:
  using layout = panel_layout<Spec>;
  using element = typename layout::element;
  using quantized_type = quantized_matrix<Spec>;

  QOMPOSE_INLINE packed_matrix() noexcept = default;
  /// Room for a matrix; `store` fills it.
  QOMPOSE_INLINE packed_matrix(std::size_t rows, std::size_t cols)
      : packed_matrix(shared_bytes(geometry_of<Spec>(rows, cols).panels * panel_bytes(rows, cols)),
                      rows, cols) {}
  /// A matrix whose panels exist already, such as those of a mapped file.
  /// @param panels  what `panels()` of the same matrix gave, padding included
  /// @param beside  its scales, zero points and codebooks; the codes are not read, nor what the
  ///                panels hold themselves
  /// @pre panels has the size that `beside.rows()` and `beside.cols()` ask for
  QOMPOSE_INLINE packed_matrix(shared_bytes panels, const quantized_type& beside)
      : packed_matrix(std::move(panels), beside.rows(), beside.cols()) {
    store_beside<false>(0, beside);
  }

  /// Bytes of a panel of a [rows, cols] matrix.
  [[nodiscard]] QOMPOSE_INLINE static std::size_t panel_bytes(std::size_t rows,
                                                              std::size_t cols) noexcept {
    const panel_geometry geometry = geometry_of<Spec>(rows, cols);
    return layout::panel_bytes(geometry.padded_cols, geometry.groups);
  }
  [[nodiscard]] QOMPOSE_INLINE const panel_geometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    std::size_t bytes = panels_.size() + scales_.storage_bytes() + tight_.storage_bytes();
    if constexpr (layout::is_learned) bytes += codebooks_.size() * sizeof(float);
    return bytes;
  }
  [[nodiscard]] QOMPOSE_INLINE detail::panel_pointers pointers() const noexcept {
    const float* codebooks = nullptr;
    if constexpr (layout::is_learned) codebooks = codebooks_.data();
    return {panels_.data(),   panel_bytes(geometry_.rows, geometry_.cols),
            scales_.scales(), scales_.offsets(),
            codebooks,        scales_.row_scales()};
  }
  /// The panels, as packing/panels.hpp describes them.
  [[nodiscard]] QOMPOSE_INLINE std::span<const std::uint8_t> panels() const noexcept {
    return {panels_.data(), panels_.size()};
  }

  /// Stores the rows of `block` at [first_row, ...).
  /// @pre first_row is a multiple of 16, and 0 unless the spec's scales stay within rows
  /// @pre the panels are this object's own
  QOMPOSE_INLINE void store(std::size_t first_row, const quantized_type& block) noexcept {
    for (std::size_t r = 0; r < block.rows(); ++r) {
      for (std::size_t c = 0; c < block.cols(); ++c) set(first_row + r, c, block.code(r, c));
    }
    store_beside(first_row, block);
  }

  /// The code of element (r, c), unchecked.
  [[nodiscard]] QOMPOSE_INLINE typename element::storage_type code(std::size_t r,
                                                                   std::size_t c) const noexcept {
    using code_type = typename element::storage_type;
    const std::uint8_t* unit = panels_.data() + unit_at(r, c);
    const std::size_t k = geometry_.padded(c) % layout::step;
    if constexpr (layout::width == code_width::planes) {
      const int field = detail::get_field<element::bits, layout::step>(unit, k, r % panel_rows);
      return static_cast<code_type>(field + layout::field_offset);
    } else if constexpr (layout::width == code_width::byte) {
      return static_cast<code_type>(unit[byte_at(k, r % panel_rows)] + layout::field_offset);
    } else {
      code_type code;
      std::memcpy(&code, unit + (k * panel_rows + r % panel_rows) * sizeof(code), sizeof(code));
      return code;
    }
  }

  /// The value that element (r, c) stands for, unchecked.
  [[nodiscard]] QOMPOSE_INLINE float value(std::size_t r, std::size_t c) const noexcept {
    const float decoded = decoded_value(r, c);
    if constexpr (!layout::is_scaled) {
      return decoded;
    } else {
      return scales_.apply(geometry_, panels_.data(), r, c / geometry_.group_cols, decoded);
    }
  }

  /// The same matrix with tight codes: what `quantize` made, bit for bit.
  [[nodiscard]] QOMPOSE_INLINE quantized_type quantized() const {
    quantized_type q(geometry_.rows, geometry_.cols);
    for (std::size_t r = 0; r < geometry_.rows; ++r) {
      for (std::size_t c = 0; c < geometry_.cols; ++c) q.set_code(r, c, code(r, c));
    }
    restore_beside(q);
    return q;
  }
  /// Its scales, zero points and codebooks alone, as they were stored.
  [[nodiscard]] QOMPOSE_INLINE quantized_type beside_codes() const {
    quantized_type q(geometry_.rows, geometry_.cols, detail::without_codes{});
    restore_beside(q);
    return q;
  }

 private:
  QOMPOSE_INLINE packed_matrix(shared_bytes panels, std::size_t rows, std::size_t cols)
      : geometry_(geometry_of<Spec>(rows, cols)),
        panels_(std::move(panels)),
        scales_(geometry_),
        tight_(rows, cols) {
    if constexpr (layout::is_learned) {
      const std::size_t books =
          layout::is_shared ? 1 : geometry_.panels * geometry_.groups * panel_rows;
      codebooks_ = aligned_buffer<float>(books * layout::codebook_floats);
    }
  }
  /// Stores everything but the codes of the rows of `block`.
  /// @tparam into_panels  whether what stands in the panels is stored as well
  template <bool into_panels = true>
  QOMPOSE_INLINE void store_beside(std::size_t first_row, const quantized_type& block) noexcept {
    if (block.rows() == 0 || block.cols() == 0) return;  // however long the other side
    if constexpr (layout::is_scaled) {
      std::uint8_t* const panels = into_panels ? panels_.writable() : nullptr;
      scales_.template store<into_panels>(geometry_, panels, first_row, block);
    }
    if constexpr (layout::is_learned) store_codebooks(first_row, block);
    tight_.store(first_row, geometry_.rows, block);
  }
  /// The other way round.
  QOMPOSE_INLINE void restore_beside(quantized_type& q) const {
    if constexpr (layout::is_scaled) scales_.restore(geometry_, panels_.data(), q);
    tight_.restore(q);
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t panel_at(std::size_t r) const noexcept {
    return r / panel_rows * layout::panel_bytes(geometry_.padded_cols, geometry_.groups);
  }
  /// Where the unit with the code of element (r, c) starts.
  [[nodiscard]] QOMPOSE_INLINE std::size_t unit_at(std::size_t r, std::size_t c) const noexcept {
    const std::size_t k = geometry_.padded(c);
    return panel_at(r) + layout::column_at(k - k % layout::step, c / geometry_.group_cols);
  }
  [[nodiscard]] QOMPOSE_INLINE float decoded_value(std::size_t r, std::size_t c) const noexcept {
    if constexpr (layout::is_learned) {
      const std::size_t book =
          layout::is_shared ? 0 : geometry_.group_at(r, c / geometry_.group_cols);
      return codebooks_[book * layout::codebook_floats + code(r, c)];
    } else {
      return element::decode(code(r, c));
    }
  }
  /// Each row has a copy of its groups' codebooks, as lanes look values up independently.
  QOMPOSE_INLINE void store_codebooks(std::size_t first_row, const quantized_type& block) noexcept {
    const std::size_t rows = layout::is_shared ? (block.rows() > 0 ? 1 : 0) : block.rows();
    const std::size_t groups = layout::is_shared ? 1 : geometry_.groups;
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t g = 0; g < groups; ++g) {
        const std::size_t book = layout::is_shared ? 0 : geometry_.group_at(first_row + r, g);
        const std::size_t source = block.codebook(r, g * geometry_.group_cols);
        for (std::size_t k = 0; k < static_cast<std::size_t>(element::entries); ++k) {
          codebooks_[book * layout::codebook_floats + k] = block.codebooks().value(source, k);
        }
      }
    }
  }
  QOMPOSE_INLINE static constexpr std::size_t byte_at(std::size_t k, std::size_t lane) noexcept {
    return k / 4 * 64 + 4 * lane + k % 4;
  }
  QOMPOSE_INLINE void set(std::size_t r, std::size_t c,
                          typename element::storage_type code) noexcept {
    std::uint8_t* unit = panels_.writable() + unit_at(r, c);
    const std::size_t k = geometry_.padded(c) % layout::step;
    if constexpr (layout::width == code_width::planes) {
      const int field = static_cast<int>(code) - layout::field_offset;
      detail::set_field<element::bits, layout::step>(unit, k, r % panel_rows, field);
    } else if constexpr (layout::width == code_width::byte) {
      unit[byte_at(k, r % panel_rows)] =
          static_cast<std::uint8_t>(static_cast<int>(code) - layout::field_offset);
    } else {
      std::memcpy(unit + (k * panel_rows + r % panel_rows) * sizeof(code), &code, sizeof(code));
    }
  }

  panel_geometry geometry_;
  shared_bytes panels_;
  detail::panel_scales<Spec> scales_;
  [[no_unique_address]] std::conditional_t<layout::is_learned, aligned_buffer<float>,
                                           detail::nothing<3>> codebooks_;
  [[no_unique_address]] detail::tight_parts<Spec> tight_;
};

}  // namespace qompose
