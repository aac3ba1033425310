// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief How the keys and values of a block of tokens lie in memory, for one KV head.
///
/// A block is [keys][values], each a multiple of 64 bytes. Codes lie in panels as those of weights
/// do (panels.hpp): a panel of keys has sixteen tokens as rows and the elements of a head as
/// columns, a panel of values sixteen elements as rows and the tokens of the block as columns. So
/// an element of a query, broadcast, meets sixteen keys, and a weight of the softmax sixteen
/// elements of a value.
///
/// * Keys, per token or per group: panels of 16 tokens, each [groups][16] scales, [groups][16]
///   offsets, [16] outer scales and the codes.
/// * Keys, per channel: [head_dim] scales and [head_dim] offsets of the block; panels of codes.
/// * Values: [groups][tokens] scales, the same of offsets, [tokens] outer scales, and
///   [head_dim / 16] panels of codes.
///
/// After the panels of keys, and of values, stand the elements that are kept apart, four bytes
/// each: where, and as a half what is lacking there to the codes. Those of keys are in the order of
/// the panels, and say element * 16 + token of the panel; for scales per channel [panels + 1]
/// 16-bit numbers before them tell where those of each panel begin. Those of values are
/// [tokens][N].
///
/// Outer scales are floats, and there where the scale's format is a quant of its own.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/packing/code_layout.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose::detail {

/// The number format of stored scales, and whether a float is shared by those of a row.
template <class Format>
struct cache_scale {
  using format = Format;
  static constexpr bool has_outer = false;
};
template <>
struct cache_scale<void> {
  using format = fp32;
  static constexpr bool has_outer = false;
};
template <quant_spec Format>
struct cache_scale<Format> {
  using format = typename Format::element;
  static constexpr bool has_outer = true;
};

/// What the kernels know of one side of a cache at compile time.
/// @tparam Spec      a format, or a quant whose scales and offsets are numbers of fixed formats
/// @tparam Outliers  elements of each vector that are kept apart
template <class Spec, std::size_t Outliers = 0>
struct cache_codes : code_layout<typename spec_parts<Spec>::element> {
  using spec = Spec;
  static constexpr std::size_t outliers = Outliers;
  using parts = spec_parts<Spec>;
  using layout = code_layout<typename parts::element>;
  using typename layout::element;
  using scale_kind = cache_scale<typename parts::scale_format>;
  using scale_format = typename scale_kind::format;
  using offset_format = typename std::conditional_t<parts::has_zero, typename parts::zero_type,
                                                    minimum<fp32>>::format;

  static constexpr bool is_scaled = parts::has_scale;
  static constexpr bool has_outer = scale_kind::has_outer;
  static constexpr bool has_offset = parts::has_zero;
  static constexpr bool has_zero_point = is_zero_point<typename parts::zero_type>;
  static constexpr std::size_t scale_bytes =
      is_scaled ? sizeof(typename scale_format::storage_type) : 0;
  static constexpr std::size_t offset_bytes =
      has_offset ? sizeof(typename offset_format::storage_type) : 0;

  /// Elements of a group, within a head without end.
  static constexpr std::size_t most_group_columns = [] {
    constexpr std::size_t whole = std::size_t{1} << 30;
    if constexpr (quant_spec<Spec>) return Spec::granularity_type::group_cols(whole);
    return whole;
  }();
  static constexpr bool is_per_channel = [] {
    if constexpr (quant_spec<Spec>) {
      return std::is_same_v<typename Spec::granularity_type, per_channel>;
    }
    return false;
  }();
  /// Whether dot products with int8 codes take the codes as they are.
  static constexpr bool has_integers = layout::has_integers && layout::element::bits <= 8;
};

/// An element that is kept apart.
struct cache_outlier {
  std::uint16_t place = 0;
  std::uint16_t lacking = 0;  ///< fp16
};

/// Sizes that both sides share.
struct cache_geometry {
  std::size_t head_dim = 0;
  std::size_t tokens = 0;  ///< of a block

  /// Groups of a token, and elements of a group.
  template <class Codes>
  [[nodiscard]] QOMPOSE_INLINE std::size_t groups() const noexcept {
    return Codes::is_per_channel ? 1 : divide_up(head_dim, group_cols<Codes>());
  }
  template <class Codes>
  [[nodiscard]] QOMPOSE_INLINE std::size_t group_cols() const noexcept {
    return std::min(Codes::most_group_columns, head_dim);
  }
  /// Elements of a head with the padding that panels of values need.
  [[nodiscard]] QOMPOSE_INLINE std::size_t padded_dim() const noexcept {
    return round_up(head_dim, panel_rows);
  }
};

/// Where the parts of a block's keys are.
template <class Codes>
struct key_block : cache_geometry {
  QOMPOSE_INLINE explicit key_block(const cache_geometry& geometry) noexcept
      : cache_geometry(geometry) {}

  /// Columns of a panel.
  [[nodiscard]] QOMPOSE_INLINE std::size_t columns() const noexcept {
    return round_up(head_dim, Codes::step);
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t head_bytes() const noexcept {
    if constexpr (!Codes::is_per_channel) return 0;
    return round_up(padded_dim() * (Codes::scale_bytes + Codes::offset_bytes), 64);
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t panel_bytes() const noexcept {
    return codes_at() + columns() * Codes::column_bytes;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t bytes() const noexcept {
    return round_up(outliers_at() + outliers() * sizeof(cache_outlier), 64);
  }
  /// Elements that are kept apart, and where they are.
  [[nodiscard]] QOMPOSE_INLINE std::size_t outliers() const noexcept {
    return Codes::outliers * (Codes::is_per_channel ? head_dim : tokens);
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t outliers_at() const noexcept {
    const bool has_starts = Codes::outliers > 0 && Codes::is_per_channel;
    return outlier_starts_at() +
           (has_starts ? round_up((tokens / panel_rows + 1) * sizeof(std::uint16_t), 4) : 0);
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t outlier_starts_at() const noexcept {
    return head_bytes() + tokens / panel_rows * panel_bytes();
  }
  /// The panel of a token of the block.
  [[nodiscard]] QOMPOSE_INLINE std::size_t panel_at(std::size_t token) const noexcept {
    return head_bytes() + token / panel_rows * panel_bytes();
  }
  /// Scales and offsets of a group of the tokens of a panel, from its start; with scales per
  /// channel, from the start of the keys and without groups.
  [[nodiscard]] QOMPOSE_INLINE std::size_t scales_at(std::size_t group = 0) const noexcept {
    if constexpr (Codes::is_per_channel) return 0;
    return group * panel_rows * Codes::scale_bytes;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t offsets_at(std::size_t group = 0) const noexcept {
    if constexpr (Codes::is_per_channel) return padded_dim() * Codes::scale_bytes;
    return scales_at(groups<Codes>()) + group * panel_rows * Codes::offset_bytes;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t outer_at() const noexcept {
    return round_up(offsets_at(groups<Codes>()), sizeof(float));
  }
  /// The codes, from the start of a panel: one stream of memory holds both in the order of their
  /// use.
  [[nodiscard]] QOMPOSE_INLINE std::size_t codes_at() const noexcept {
    if constexpr (Codes::is_per_channel) return 0;
    return round_up(outer_at() + (Codes::has_outer ? panel_rows * sizeof(float) : 0), 64);
  }
};

/// Where the parts of a block's values are, from the start of the values.
template <class Codes>
struct value_block : cache_geometry {
  QOMPOSE_INLINE explicit value_block(const cache_geometry& geometry) noexcept
      : cache_geometry(geometry) {}

  [[nodiscard]] QOMPOSE_INLINE std::size_t panel_bytes() const noexcept {
    return tokens * Codes::column_bytes;
  }
  /// Scales and offsets of a group of all tokens.
  [[nodiscard]] QOMPOSE_INLINE std::size_t scales_at(std::size_t group) const noexcept {
    return group * tokens * Codes::scale_bytes;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t offsets_at(std::size_t group) const noexcept {
    return scales_at(groups<Codes>()) + group * tokens * Codes::offset_bytes;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t outer_at() const noexcept {
    return round_up(offsets_at(groups<Codes>()), sizeof(float));
  }
  /// The panel of element d of a head.
  [[nodiscard]] QOMPOSE_INLINE std::size_t panel_at(std::size_t d) const noexcept {
    const std::size_t before =
        round_up(outer_at() + (Codes::has_outer ? tokens * sizeof(float) : 0), 64);
    return before + d / panel_rows * panel_bytes();
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t bytes() const noexcept {
    return round_up(outliers_at() + Codes::outliers * tokens * sizeof(cache_outlier), 64);
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t outliers_at() const noexcept {
    return panel_at(padded_dim());
  }
};

}  // namespace qompose::detail
