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
#include "qompose/packing/panels.hpp"
#include "qompose/packing/planes.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// Copies all of `block` to rows [first_row, ...) of `whole`, scales and zero points included.
/// @pre first_row starts a block of scales on every level
template <tensor_spec Spec>
void copy_rows(quantized_matrix<Spec>& whole, std::size_t first_row,
               const quantized_matrix<Spec>& block) {
  for (std::size_t r = 0; r < block.rows(); ++r) {
    for (std::size_t c = 0; c < block.cols(); ++c) {
      whole.set_code(first_row + r, c, block.code(r, c));
    }
  }
  if constexpr (quant_spec<Spec>) {
    const std::size_t first_group = first_row / whole.group_rows();
    if constexpr (spec_parts<Spec>::has_scale) {
      copy_rows(whole.scales(), first_group, block.scales());
    }
    if constexpr (spec_parts<Spec>::has_zero) copy_rows(whole.zeros(), first_group, block.zeros());
  }
}

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
  using scale_format = typename layout::scale_format;
  using offset_format = typename layout::offset_format;
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
    std::size_t bytes = panels_.size() + scales_.size() + offsets_.size() + tight_.storage_bytes();
    if constexpr (layout::is_learned) bytes += codebooks_.size() * sizeof(float);
    if constexpr (layout::has_row_scales) bytes += row_scales_.size() * sizeof(float);
    return bytes;
  }
  [[nodiscard]] QOMPOSE_INLINE detail::panel_pointers pointers() const noexcept {
    const float* codebooks = nullptr;
    if constexpr (layout::is_learned) codebooks = codebooks_.data();
    const float* row_scales = nullptr;
    if constexpr (layout::has_row_scales) row_scales = row_scales_.data();
    return {panels_.data(), panel_bytes(geometry_.rows, geometry_.cols),
            scales_.data(), offsets_.data(),
            codebooks,      row_scales};
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
      const std::size_t g = c / geometry_.group_cols;
      float scale = scale_format::decode(scale_code_at(r, g));
      if constexpr (layout::has_row_scales) scale *= row_scales_[r];
      const float scaled = scale * decoded;
      if constexpr (!layout::has_offset) {
        return scaled;
      } else {
        const float offset = offset_format::decode(offset_code_at(r, g));
        return layout::has_row_scales ? scaled + -scale * offset : scaled + offset;
      }
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
  using scale_code = typename scale_format::storage_type;
  using offset_code = typename offset_format::storage_type;

  QOMPOSE_INLINE packed_matrix(shared_bytes panels, std::size_t rows, std::size_t cols)
      : geometry_(geometry_of<Spec>(rows, cols)),
        panels_(std::move(panels)),
        scales_(layout::is_scaled && !layout::interleaves ? scale_count() * sizeof(scale_code) : 0),
        offsets_(layout::has_offset && !layout::interleaves ? scale_count() * sizeof(offset_code)
                                                            : 0),
        tight_(rows, cols) {
    if constexpr (layout::has_row_scales) {
      row_scales_ = aligned_buffer<float>(geometry_.panels * panel_rows);
    }
    if constexpr (layout::is_learned) {
      codebooks_ =
          aligned_buffer<float>((layout::is_shared ? 1 : scale_count()) * layout::codebook_floats);
    }
  }
  /// Stores everything but the codes of the rows of `block`.
  /// @tparam into_panels  whether what stands in the panels is stored as well
  template <bool into_panels = true>
  QOMPOSE_INLINE void store_beside(std::size_t first_row, const quantized_type& block) noexcept {
    if (block.rows() == 0 || block.cols() == 0) return;  // however long the other side
    if constexpr (layout::is_scaled && (into_panels || !layout::interleaves)) {
      for (std::size_t r = 0; r < block.rows(); ++r) {
        for (std::size_t g = 0; g < geometry_.groups; ++g) {
          const std::size_t c = g * geometry_.group_cols;
          std::uint8_t* const scale = scale_place(first_row + r, g);
          std::uint8_t* const offset = offset_place(first_row + r, g);
          if constexpr (layout::has_row_scales) {
            using inner = typename layout::row_scaled::inner;
            put(scale, scale_format::encode(inner::decode(block.scale_code(r, g))));
            if constexpr (layout::has_offset) {
              put(offset, offset_format::encode(block.zero_or_minimum(r, c)));
            }
            continue;
          }
          put(scale, scale_format::encode(block.scale(r, c)));
          if constexpr (layout::has_offset) put(offset, offset_format::encode(block.offset(r, c)));
        }
        if constexpr (layout::has_row_scales) {
          row_scales_[first_row + r] = block.scales().scale(r / block.group_rows(), 0);
        }
      }
    }
    if constexpr (layout::is_learned) store_codebooks(first_row, block);
    tight_.store(first_row, geometry_.rows, block);
  }
  /// The other way round.
  QOMPOSE_INLINE void restore_beside(quantized_type& q) const {
    if constexpr (layout::is_learned) q.codebooks() = tight_.codebooks;
    if constexpr (layout::is_scaled) {
      const scale_grid grid = q.grid();
      for (std::size_t sr = 0; sr < grid.rows; ++sr) {
        for (std::size_t g = 0; g < grid.cols; ++g) {
          const std::size_t r = sr * q.group_rows();
          if constexpr (layout::has_row_scales) {
            restore_levels(q, sr, g);
          } else if constexpr (!layout::keeps_tight_scales) {
            q.scales().set_code(sr, g, scale_code_at(r, g));
          }
          if constexpr (layout::has_offset && !layout::keeps_tight_zeros &&
                        !layout::has_row_scales) {
            q.zeros().set_code(sr, g, offset_code_at(r, g));
          }
        }
      }
      tight_.restore(q);
    }
    (void)q;
  }

  /// Both levels of scale (sr, g), and the zero point beside it.
  QOMPOSE_INLINE void restore_levels(quantized_type& q, std::size_t sr, std::size_t g) const {
    using levels = typename layout::parts::scale_format;
    using inner = typename layout::row_scaled::inner;
    using outer = typename layout::row_scaled::outer;
    const std::size_t row = sr * q.group_rows();
    const float kept = scale_format::decode(scale_code_at(row, g));
    q.scales().set_code(sr, g, inner::encode(kept));
    if constexpr (layout::has_offset) {
      using zero_format = typename Spec::zero_type::format;
      q.zeros().set_code(sr, g, zero_format::encode(offset_format::decode(offset_code_at(row, g))));
    }
    const std::size_t shared = sr / levels::granularity_type::group_rows(q.grid().rows);
    q.scales().scales().set_code(shared, 0, outer::encode(row_scales_[row]));
  }

  /// Scales and zero points that a panel holds only in decoded form, kept as they were stored.
  struct tight_parts {
    template <bool Kept, class Matrix, int Which>
    using kept = std::conditional_t<Kept, Matrix, detail::nothing<Which>>;
    static constexpr bool scales_kept = layout::keeps_tight_scales;
    static constexpr bool zeros_kept = layout::keeps_tight_zeros;

    static constexpr bool codebooks_kept = layout::is_learned;

    template <class Q, bool Scaled = quant_spec<typename Q::spec>>
    struct types {
      using scales = detail::nothing<0>;
      using zeros = detail::nothing<1>;
      using codebooks = detail::nothing<2>;
    };
    template <class Q>
    struct types<Q, true> {
      using scales = kept<scales_kept, typename Q::scales_type, 0>;
      using zeros = kept<zeros_kept, typename Q::zeros_type, 1>;
      using codebooks = kept<codebooks_kept, typename Q::codebooks_type, 2>;
    };
    [[no_unique_address]] typename types<quantized_type>::scales scales;
    [[no_unique_address]] typename types<quantized_type>::zeros zeros;
    [[no_unique_address]] typename types<quantized_type>::codebooks codebooks;

    QOMPOSE_INLINE tight_parts() noexcept = default;
    QOMPOSE_INLINE tight_parts(std::size_t rows, std::size_t cols) {
      if constexpr (scales_kept || zeros_kept) {
        const scale_grid grid = scales_of<typename Spec::granularity_type>(rows, cols);
        if constexpr (scales_kept) scales = {grid.rows, grid.cols};
        if constexpr (zeros_kept) zeros = {grid.rows, grid.cols};
      }
      if constexpr (codebooks_kept) {
        codebooks = {codebooks_of<Spec>(rows, cols), static_cast<std::size_t>(element::entries)};
      }
      (void)rows;
      (void)cols;
    }
    QOMPOSE_INLINE void store(std::size_t first_row, std::size_t rows,
                              const quantized_type& block) {
      if constexpr (quant_spec<Spec>) {
        const std::size_t first_group = first_row / Spec::granularity_type::group_rows(rows);
        if constexpr (scales_kept) detail::copy_rows(scales, first_group, block.scales());
        if constexpr (zeros_kept) detail::copy_rows(zeros, first_group, block.zeros());
        if constexpr (codebooks_kept) {
          detail::copy_rows(codebooks, layout::is_shared ? 0 : first_group * block.grid().cols,
                            block.codebooks());
        }
        (void)first_group;
      }
      (void)first_row;
      (void)rows;
      (void)block;
    }
    QOMPOSE_INLINE void restore(quantized_type& q) const {
      if constexpr (scales_kept) q.scales() = scales;
      if constexpr (zeros_kept) q.zeros() = zeros;
      (void)q;
    }
    [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
      return scales.storage_bytes() + zeros.storage_bytes() + codebooks.storage_bytes();
    }
  };

  [[nodiscard]] QOMPOSE_INLINE std::size_t scale_count() const noexcept {
    return geometry_.panels * geometry_.groups * panel_rows;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t panel_at(std::size_t r) const noexcept {
    return r / panel_rows * layout::panel_bytes(geometry_.padded_cols, geometry_.groups);
  }
  /// Where the unit with the code of element (r, c) starts.
  [[nodiscard]] QOMPOSE_INLINE std::size_t unit_at(std::size_t r, std::size_t c) const noexcept {
    const std::size_t k = geometry_.padded(c);
    return panel_at(r) + layout::column_at(k - k % layout::step, c / geometry_.group_cols);
  }
  /// Where the scale of group g of row r stands, in its panel or beside it, and the offset.
  [[nodiscard]] QOMPOSE_INLINE std::uint8_t* scale_place(std::size_t r, std::size_t g) noexcept {
    if constexpr (layout::interleaves) {
      return panels_.writable() + scale_in_panel(r, g);
    } else {
      return scales_.data() + scale_at(r, g) * sizeof(scale_code);
    }
  }
  [[nodiscard]] QOMPOSE_INLINE std::uint8_t* offset_place(std::size_t r, std::size_t g) noexcept {
    if constexpr (layout::interleaves) {
      return panels_.writable() + offset_in_panel(r, g);
    } else {
      return offsets_.data() + scale_at(r, g) * sizeof(offset_code);
    }
  }
  [[nodiscard]] QOMPOSE_INLINE scale_code scale_code_at(std::size_t r,
                                                        std::size_t g) const noexcept {
    if constexpr (layout::interleaves) {
      return get<scale_code>(panels_.data() + scale_in_panel(r, g));
    } else {
      return get<scale_code>(scales_.data() + scale_at(r, g) * sizeof(scale_code));
    }
  }
  [[nodiscard]] QOMPOSE_INLINE offset_code offset_code_at(std::size_t r,
                                                          std::size_t g) const noexcept {
    if constexpr (layout::interleaves) {
      return get<offset_code>(panels_.data() + offset_in_panel(r, g));
    } else {
      return get<offset_code>(offsets_.data() + scale_at(r, g) * sizeof(offset_code));
    }
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t scale_in_panel(std::size_t r,
                                                          std::size_t g) const noexcept {
    return panel_at(r) + layout::scales_at(g) + r % panel_rows * sizeof(scale_code);
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t offset_in_panel(std::size_t r,
                                                           std::size_t g) const noexcept {
    return panel_at(r) + layout::offsets_at(g) + r % panel_rows * sizeof(offset_code);
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t scale_at(std::size_t r, std::size_t g) const noexcept {
    return (r / panel_rows * geometry_.groups + g) * panel_rows + r % panel_rows;
  }
  [[nodiscard]] QOMPOSE_INLINE float decoded_value(std::size_t r, std::size_t c) const noexcept {
    if constexpr (layout::is_learned) {
      const std::size_t book = layout::is_shared ? 0 : scale_at(r, c / geometry_.group_cols);
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
        const std::size_t book = layout::is_shared ? 0 : scale_at(first_row + r, g);
        const std::size_t source = block.codebook(r, g * geometry_.group_cols);
        for (std::size_t k = 0; k < static_cast<std::size_t>(element::entries); ++k) {
          codebooks_[book * layout::codebook_floats + k] = block.codebooks().value(source, k);
        }
      }
    }
  }
  template <class Code>
  QOMPOSE_INLINE static void put(std::uint8_t* place, Code code) noexcept {
    std::memcpy(place, &code, sizeof(Code));
  }
  template <class Code>
  QOMPOSE_INLINE static Code get(const std::uint8_t* place) noexcept {
    Code code;
    std::memcpy(&code, place, sizeof(Code));
    return code;
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
  aligned_buffer<std::uint8_t> scales_;
  aligned_buffer<std::uint8_t> offsets_;
  [[no_unique_address]] std::conditional_t<layout::is_learned, aligned_buffer<float>,
                                           detail::nothing<3>> codebooks_;
  [[no_unique_address]] std::conditional_t<layout::has_row_scales, aligned_buffer<float>,
                                           detail::nothing<4>> row_scales_;
  [[no_unique_address]] tight_parts tight_;
};

}  // namespace qompose
