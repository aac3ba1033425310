// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The scales and offsets of a packed matrix: where they are, and how they get there.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/packing/panels.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose::detail {

/// Scales and offsets as the kernels read them, by row r and group g: those that stand in the
/// panels, which are handed in, and those beside them, which this object owns.
template <tensor_spec Spec>
class panel_scales {
  using layout = panel_layout<Spec>;
  using scale_format = typename layout::scale_format;
  using offset_format = typename layout::offset_format;
  using scale_code = typename scale_format::storage_type;
  using offset_code = typename offset_format::storage_type;
  using quantized_type = quantized_matrix<Spec>;

 public:
  QOMPOSE_INLINE panel_scales() noexcept = default;
  /// Room for those beside the panels.
  QOMPOSE_INLINE explicit panel_scales(const panel_geometry& geometry) {
    const std::size_t groups = geometry.panels * geometry.groups * panel_rows;
    if constexpr (layout::is_scaled && !layout::interleaves) {
      scales_ = aligned_buffer<std::uint8_t>(groups * sizeof(scale_code));
    }
    if constexpr (layout::has_offset && !layout::interleaves) {
      offsets_ = aligned_buffer<std::uint8_t>(groups * sizeof(offset_code));
    }
    if constexpr (layout::has_row_scales) {
      // Rows without columns have no scale, however many they are.
      if (groups > 0) row_scales_ = aligned_buffer<float>(geometry.panels * panel_rows);
    }
    (void)groups;
  }

  /// Those beside the panels, and the level of scales that rows share; null where there are none.
  [[nodiscard]] QOMPOSE_INLINE const std::uint8_t* scales() const noexcept {
    return scales_.data();
  }
  [[nodiscard]] QOMPOSE_INLINE const std::uint8_t* offsets() const noexcept {
    return offsets_.data();
  }
  [[nodiscard]] QOMPOSE_INLINE const float* row_scales() const noexcept {
    if constexpr (layout::has_row_scales) return row_scales_.data();
    return nullptr;
  }
  /// Bytes beside the panels.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    std::size_t bytes = scales_.size() + offsets_.size();
    if constexpr (layout::has_row_scales) bytes += row_scales_.size() * sizeof(float);
    return bytes;
  }

  /// What a code with the value `decoded` stands for, scale and offset applied.
  [[nodiscard]] QOMPOSE_INLINE float apply(const panel_geometry& geometry,
                                           const std::uint8_t* panels, std::size_t r, std::size_t g,
                                           float decoded) const noexcept {
    float scale = scale_format::decode(scale_at(geometry, panels, r, g));
    if constexpr (layout::has_row_scales) scale *= row_scales_[r];
    const float scaled = scale * decoded;
    if constexpr (!layout::has_offset) {
      return scaled;
    } else {
      const float offset = offset_format::decode(offset_at(geometry, panels, r, g));
      return scaled + (layout::has_zero_points ? -scale * offset : offset);
    }
  }

  /// Stores those of a block of rows at [first_row, ...).
  /// @tparam into_panels  whether what stands in the panels is stored as well
  template <bool into_panels>
  QOMPOSE_INLINE void store(const panel_geometry& geometry, [[maybe_unused]] std::uint8_t* panels,
                            std::size_t first_row, const quantized_type& block) noexcept {
    for (std::size_t r = 0; r < block.rows(); ++r) {
      if constexpr (layout::has_row_scales) {
        row_scales_[first_row + r] = block.scales().scale(r / block.group_rows(), 0);
      }
      if constexpr (into_panels || !layout::interleaves) {
        for (std::size_t g = 0; g < geometry.groups; ++g) {
          const std::size_t c = g * geometry.group_cols;
          std::uint8_t* const place =
              layout::interleaves ? panels + scale_in_panel(geometry, first_row + r, g)
                                  : scales_.data() + scale_beside(geometry, first_row + r, g);
          if constexpr (layout::has_row_scales) {
            put(place,
                scale_format::encode(layout::row_scaled::inner::decode(block.scale_code(r, g))));
          } else {
            put(place, scale_format::encode(block.scale(r, c)));
          }
          if constexpr (layout::has_offset) {
            const float offset =
                layout::has_zero_points ? block.zero_or_minimum(r, c) : block.offset(r, c);
            put(layout::interleaves ? panels + offset_in_panel(geometry, first_row + r, g)
                                    : offsets_.data() + offset_beside(geometry, first_row + r, g),
                offset_format::encode(offset));
          }
        }
      }
    }
    (void)geometry;
    (void)first_row;
  }
  /// The other way round, for what the panels hold as it was stored.
  QOMPOSE_INLINE void restore(const panel_geometry& geometry, const std::uint8_t* panels,
                              quantized_type& q) const {
    const scale_grid grid = q.grid();
    for (std::size_t sr = 0; sr < grid.rows; ++sr) {
      const std::size_t r = sr * q.group_rows();
      for (std::size_t g = 0; g < grid.cols; ++g) {
        if constexpr (layout::has_row_scales) {
          using inner = typename layout::row_scaled::inner;
          q.scales().set_code(
              sr, g, inner::encode(scale_format::decode(scale_at(geometry, panels, r, g))));
        } else if constexpr (!layout::keeps_tight_scales) {
          q.scales().set_code(sr, g, scale_at(geometry, panels, r, g));
        }
        if constexpr (layout::has_zero_points) {
          using zero_format = typename Spec::zero_type::format;
          const float zero = offset_format::decode(offset_at(geometry, panels, r, g));
          q.zeros().set_code(sr, g, zero_format::encode(zero));
        } else if constexpr (layout::has_offset && !layout::keeps_tight_zeros) {
          q.zeros().set_code(sr, g, offset_at(geometry, panels, r, g));
        }
      }
      if constexpr (layout::has_row_scales) {
        using levels = typename layout::parts::scale_format;
        if (grid.cols == 0) continue;
        const std::size_t shared = sr / levels::granularity_type::group_rows(grid.rows);
        q.scales().scales().set_code(shared, 0, layout::row_scaled::outer::encode(row_scales_[r]));
      }
    }
    (void)geometry;
    (void)panels;
  }

 private:
  [[nodiscard]] QOMPOSE_INLINE scale_code scale_at(const panel_geometry& geometry,
                                                   const std::uint8_t* panels, std::size_t r,
                                                   std::size_t g) const noexcept {
    return get<scale_code>(layout::interleaves ? panels + scale_in_panel(geometry, r, g)
                                               : scales_.data() + scale_beside(geometry, r, g));
  }
  [[nodiscard]] QOMPOSE_INLINE offset_code offset_at(const panel_geometry& geometry,
                                                     const std::uint8_t* panels, std::size_t r,
                                                     std::size_t g) const noexcept {
    return get<offset_code>(layout::interleaves ? panels + offset_in_panel(geometry, r, g)
                                                : offsets_.data() + offset_beside(geometry, r, g));
  }
  QOMPOSE_INLINE static std::size_t panel_at(const panel_geometry& geometry,
                                             std::size_t r) noexcept {
    return r / panel_rows * layout::panel_bytes(geometry.padded_cols, geometry.groups);
  }
  QOMPOSE_INLINE static std::size_t scale_in_panel(const panel_geometry& geometry, std::size_t r,
                                                   std::size_t g) noexcept {
    return panel_at(geometry, r) + layout::scales_at(g) + r % panel_rows * sizeof(scale_code);
  }
  QOMPOSE_INLINE static std::size_t offset_in_panel(const panel_geometry& geometry, std::size_t r,
                                                    std::size_t g) noexcept {
    return panel_at(geometry, r) + layout::offsets_at(g) + r % panel_rows * sizeof(offset_code);
  }
  QOMPOSE_INLINE static std::size_t scale_beside(const panel_geometry& geometry, std::size_t r,
                                                 std::size_t g) noexcept {
    return geometry.group_at(r, g) * sizeof(scale_code);
  }
  QOMPOSE_INLINE static std::size_t offset_beside(const panel_geometry& geometry, std::size_t r,
                                                  std::size_t g) noexcept {
    return geometry.group_at(r, g) * sizeof(offset_code);
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

  aligned_buffer<std::uint8_t> scales_;
  aligned_buffer<std::uint8_t> offsets_;
  [[no_unique_address]] std::conditional_t<layout::has_row_scales, aligned_buffer<float>,
                                           nothing<4>> row_scales_;
};

}  // namespace qompose::detail
