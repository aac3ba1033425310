// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Keys and values into the blocks of a cache, and exact ones out of them again.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/packing/cache_block.hpp"
#include "qompose/packing/planes.hpp"
#include "qompose/quantize/row_codes.hpp"
#include "qompose/quantize/row_outliers.hpp"

namespace qompose::detail {

/// Columns of panels of a format, one code at a time.
template <class Codes>
struct panel_column {
  using code_type = typename Codes::element::storage_type;

  QOMPOSE_INLINE static void set(std::byte* panel, std::size_t k, std::size_t lane,
                                 code_type code) noexcept {
    auto* bytes = reinterpret_cast<std::uint8_t*>(panel);
    if constexpr (Codes::width == code_width::half || Codes::width == code_width::single) {
      std::memcpy(bytes + (k * panel_rows + lane) * sizeof(code), &code, sizeof(code));
    } else if constexpr (Codes::width == code_width::byte) {
      bytes[byte_at(k, lane)] = static_cast<std::uint8_t>(field_of(code));
    } else {
      set_field<Codes::element::bits, Codes::step>(bytes, k, lane, field_of(code));
    }
  }
  [[nodiscard]] QOMPOSE_INLINE static code_type get(const std::byte* panel, std::size_t k,
                                                    std::size_t lane) noexcept {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(panel);
    if constexpr (Codes::width == code_width::half || Codes::width == code_width::single) {
      code_type code;
      std::memcpy(&code, bytes + (k * panel_rows + lane) * sizeof(code), sizeof(code));
      return code;
    } else if constexpr (Codes::width == code_width::byte) {
      return static_cast<code_type>(bytes[byte_at(k, lane)] + Codes::field_offset);
    } else {
      return static_cast<code_type>(get_field<Codes::element::bits, Codes::step>(bytes, k, lane) +
                                    Codes::field_offset);
    }
  }

 private:
  QOMPOSE_INLINE static std::size_t byte_at(std::size_t k, std::size_t lane) noexcept {
    return k / 4 * 64 + 4 * lane + k % 4;
  }
  QOMPOSE_INLINE static int field_of(code_type code) noexcept {
    return static_cast<int>(code) - Codes::field_offset;
  }
};

QOMPOSE_INLINE void store_number(std::byte* at, std::size_t i, const auto& number) noexcept {
  std::memcpy(at + i * sizeof(number), &number, sizeof(number));
}

template <class Format>
[[nodiscard]] QOMPOSE_INLINE float load_number(const std::byte* at, std::size_t i) noexcept {
  typename Format::storage_type code;
  std::memcpy(&code, at + i * sizeof(code), sizeof(code));
  return Format::decode(code);
}

/// Whether `count` stored numbers are finite.
template <class Format>
[[nodiscard]] QOMPOSE_INLINE bool are_finite(const std::byte* at, std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(load_number<Format>(at, i))) return false;
  }
  return true;
}

/// Whether all codes of a panel stand for finite numbers.
template <class Codes>
[[nodiscard]] QOMPOSE_INLINE bool is_finite_panel(const std::byte* panel,
                                                  std::size_t columns) noexcept {
  if constexpr (!Codes::is_learned) {
    for (std::size_t k = 0; k < columns; ++k) {
      for (std::size_t lane = 0; lane < panel_rows; ++lane) {
        const auto code = panel_column<Codes>::get(panel, k, lane);
        if (!std::isfinite(Codes::element::decode(code))) return false;
      }
    }
  }
  return true;
}

[[nodiscard]] QOMPOSE_INLINE cache_outlier load_outlier(const std::byte* at,
                                                        std::size_t i) noexcept {
  cache_outlier outlier;
  std::memcpy(&outlier, at + i * sizeof(outlier), sizeof(outlier));
  return outlier;
}

/// Whether what is lacking to `count` elements that are kept apart is finite.
[[nodiscard]] QOMPOSE_INLINE bool are_finite_outliers(const std::byte* at,
                                                      std::size_t count) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(fp16::decode(load_outlier(at, i).lacking))) return false;
  }
  return true;
}

/// Whether `count` scales and offsets, and `outers` outer scales, are finite.
/// @param at     the panel or the part of a block in which they stand
/// @param block  a key_block or value_block, which says where
template <class Codes, class Block>
[[nodiscard]] QOMPOSE_INLINE bool has_finite_scales(const std::byte* at, const Block& block,
                                                    std::size_t count,
                                                    std::size_t outers) noexcept {
  if constexpr (Codes::is_scaled) {
    if (!are_finite<typename Codes::scale_format>(at + block.scales_at(0), count)) return false;
  }
  if constexpr (Codes::has_offset) {
    if (!are_finite<typename Codes::offset_format>(at + block.offsets_at(0), count)) return false;
  }
  if constexpr (Codes::has_outer) return are_finite<fp32>(at + block.outer_at(), outers);
  return true;
}

inline namespace QOMPOSE_ISA {

/// What quantizes a token of one head, or a channel of a block.
template <class Codes, std::size_t kMost>
struct token_codes {
  using type = row_codes<typename Codes::spec, kMost,
                         divide_up(kMost, std::min(Codes::most_group_columns, kMost))>;
};

/// A row of at most kMost values as codes of fp32, fp16 or bf16.
template <class Format, std::size_t kMost>
class plain_codes {
 public:
  using code_type = typename Format::storage_type;
  explicit plain_codes(const float*) {}
  void run(const float* x, std::size_t n) {
    constexpr float unit = 1.0f;
    codec_.encode(x, n, n, &unit, nullptr, nullptr, codes_);
  }
  [[nodiscard]] code_type code(std::size_t i) const noexcept { return codes_[i]; }
  [[nodiscard]] const code_type* codes() const noexcept { return codes_; }

 private:
  codec<Format, no_zero> codec_ = best_codec<Format>();
  code_type codes_[kMost];
};

/// Quantizes a row with some of its elements kept apart.
/// @param made     of the row
/// @param outlier  (i, index of the element, what its code lacks) for each of those elements
template <class Codes, std::size_t kMost, class Made, class Outlier>
QOMPOSE_INLINE void quantize_row_apart(Made& made, const float* x, std::size_t n, std::size_t group,
                                       Outlier&& outlier) {
  if constexpr (Codes::outliers == 0) {
    made.run(x, n, group);
  } else {
    float rest[kMost];
    std::copy_n(x, n, rest);
    row_outliers<Codes::outliers, kMost> apart;
    apart.take(rest, n);
    made.run(rest, n, group);
    for (std::size_t i = 0; i < Codes::outliers; ++i) {
      if (i >= apart.count()) {
        outlier(i, 0, 0.0f);
        continue;
      }
      outlier(i, apart.index(i), apart.value(i) - made.value(apart.index(i), group));
    }
  }
}

/// What a code stands for.
/// @param codes  whoever made it, who knows the entries of codebooks
/// @param i      which of the scales, offsets and outer scales belongs to it
template <class Codes, class Made>
[[nodiscard]] QOMPOSE_INLINE float stored_value(typename Codes::element::storage_type code,
                                                const Made& codes, const std::byte* scales,
                                                const std::byte* offsets, const std::byte* outers,
                                                std::size_t i) noexcept {
  float scale = load_number<typename Codes::scale_format>(scales, i);
  if constexpr (Codes::has_outer) scale *= load_number<fp32>(outers, i);
  float value;
  if constexpr (Codes::is_learned) {
    value = codes.entries()[code];
  } else {
    value = Codes::element::decode(code);
  }
  if constexpr (Codes::has_zero_point) {
    return scale * (value - load_number<typename Codes::offset_format>(offsets, i));
  } else if constexpr (Codes::has_offset) {
    return scale * value + load_number<typename Codes::offset_format>(offsets, i);
  } else {
    return scale * value;
  }
}

/// Stores keys of one head, or latents.
/// @tparam kMost  elements of the longest key, or tokens of the longest block of scales per channel
template <class Codes, std::size_t kMost = Codes::is_per_channel ? 1024 : max_head_dim>
class key_store {
  using column = panel_column<Codes>;
  static constexpr bool is_plain = is_plain_float<typename Codes::spec>;

 public:
  key_store(const cache_geometry& geometry, const float* entries)
      : block_(geometry), codes_(entries) {}

  /// The key of token `place` of a block.
  void store(std::byte* block, std::size_t place, const float* x) {
    static_assert(!Codes::is_per_channel);
    std::byte* panel = block + block_.panel_at(place);
    std::byte* codes = panel + block_.codes_at();
    const std::size_t lane = place % panel_rows;
    if constexpr (is_plain) {
      codes_.run(x, block_.head_dim);
      for (std::size_t d = 0; d < block_.head_dim; ++d) column::set(codes, d, lane, codes_.code(d));
    } else {
      quantize_row_apart<Codes, kMost>(
          codes_, x, block_.head_dim, block_.template group_cols<Codes>(),
          [&](std::size_t i, std::size_t d, float lacking) {
            store_number(block + block_.outliers_at(), place * Codes::outliers + i,
                         cache_outlier{static_cast<std::uint16_t>(d * panel_rows + lane),
                                       fp16::encode(lacking)});
          });
      for (std::size_t d = 0; d < block_.head_dim; ++d) column::set(codes, d, lane, codes_.code(d));
      for (std::size_t g = 0; g < codes_.groups(); ++g) {
        store_number(panel + block_.scales_at(g), lane, codes_.scale_code(g));
        if constexpr (Codes::has_offset) {
          store_number(panel + block_.offsets_at(g), lane, codes_.zero_code(g));
        }
      }
      if constexpr (Codes::has_outer) {
        store_number(panel + block_.outer_at(), lane, codes_.outer_scale());
      }
    }
  }

  /// Channel d of all keys of a block; `finish_block` has to follow the last one.
  void store_channel(std::byte* block, std::size_t d, const float* tokens) {
    static_assert(Codes::is_per_channel);
    quantize_row_apart<Codes, kMost>(codes_, tokens, block_.tokens, block_.tokens,
                                     [&](std::size_t i, std::size_t t, float lacking) {
                                       places_[d * Codes::outliers + i] =
                                           static_cast<std::uint16_t>(t);
                                       lacking_[d * Codes::outliers + i] = fp16::encode(lacking);
                                     });
    for (std::size_t t = 0; t < block_.tokens; ++t) {
      column::set(block + block_.panel_at(t), d, t % panel_rows, codes_.code(t));
    }
    store_number(block + block_.scales_at(), d, codes_.scale_code(0));
    if constexpr (Codes::has_offset) {
      store_number(block + block_.offsets_at(), d, codes_.zero_code(0));
    }
  }
  /// Puts the elements that are kept apart in the order of their panels.
  void finish_block(std::byte* block) noexcept {
    if constexpr (Codes::is_per_channel && Codes::outliers > 0) {
      std::uint16_t next = 0;
      for (std::size_t panel = 0; panel <= block_.tokens / panel_rows; ++panel) {
        store_number(block + block_.outlier_starts_at(), panel, next);
        for (std::size_t i = 0; i < block_.outliers(); ++i) {
          if (places_[i] / panel_rows != panel) continue;
          const std::size_t d = i / Codes::outliers;
          store_number(
              block + block_.outliers_at(), next++,
              cache_outlier{static_cast<std::uint16_t>(d * panel_rows + places_[i] % panel_rows),
                            lacking_[i]});
        }
      }
    }
  }

  /// The key of a token, as it is stored.
  void load(const std::byte* block, std::size_t place, float* x) const noexcept {
    for (std::size_t d = 0; d < block_.head_dim; ++d) x[d] = element(block, place, d);
    if constexpr (Codes::outliers > 0) {
      for (std::size_t i = 0; i < block_.outliers(); ++i) {
        const auto outlier = load_outlier(block + block_.outliers_at(), i);
        if (panel_of(block, i) != place / panel_rows) continue;
        if (outlier.place % panel_rows != place % panel_rows) continue;
        x[outlier.place / panel_rows] += fp16::decode(outlier.lacking);
      }
    }
  }
  /// Whether all numbers of a block are finite, those of padding too.
  [[nodiscard]] bool is_finite(const std::byte* block) const noexcept {
    for (std::size_t t = 0; t < block_.tokens; t += panel_rows) {
      const std::byte* panel = block + block_.panel_at(t);
      if (!is_finite_panel<Codes>(panel + block_.codes_at(), block_.columns())) return false;
      if constexpr (!Codes::is_per_channel) {
        if (!has_finite_scales<Codes>(panel, block_, block_.template groups<Codes>() * panel_rows,
                                      panel_rows)) {
          return false;
        }
      }
    }
    if constexpr (Codes::is_per_channel) {
      if (!has_finite_scales<Codes>(block, block_, block_.padded_dim(), 0)) return false;
    }
    return are_finite_outliers(block + block_.outliers_at(), block_.outliers());
  }
  /// Whether the elements of a block that are kept apart lie within the head.
  [[nodiscard]] bool has_sound_places(const std::byte* block) const noexcept {
    if constexpr (Codes::outliers > 0 && Codes::is_per_channel) {
      std::uint16_t last = 0;
      for (std::size_t panel = 0; panel <= block_.tokens / panel_rows; ++panel) {
        std::uint16_t start;
        std::memcpy(&start, block + block_.outlier_starts_at() + panel * sizeof(start),
                    sizeof(start));
        if (start < last || start > block_.outliers()) return false;
        last = start;
      }
    }
    for (std::size_t i = 0; i < block_.outliers(); ++i) {
      const cache_outlier outlier = load_outlier(block + block_.outliers_at(), i);
      if (outlier.place >= block_.head_dim * panel_rows) return false;
    }
    return true;
  }
  /// One element of it.
  [[nodiscard]] float element(const std::byte* block, std::size_t place,
                              std::size_t d) const noexcept {
    const std::byte* panel = block + block_.panel_at(place);
    const std::size_t lane = place % panel_rows;
    const auto code = column::get(panel + block_.codes_at(), d, lane);
    if constexpr (Codes::is_per_channel) {
      return stored_value<Codes>(code, codes_, block + block_.scales_at(),
                                 block + block_.offsets_at(), nullptr, d);
    } else if constexpr (is_plain) {
      return Codes::element::decode(code);
    } else {
      const std::size_t g = d / block_.template group_cols<Codes>();
      return stored_value<Codes>(code, codes_, panel + block_.scales_at(g),
                                 panel + block_.offsets_at(g), panel + block_.outer_at(), lane);
    }
  }

 private:
  /// The panel that element i of those kept apart belongs to.
  [[nodiscard]] std::size_t panel_of(const std::byte* block, std::size_t i) const noexcept {
    if constexpr (!Codes::is_per_channel) return i / Codes::outliers / panel_rows;
    std::size_t panel = 0;
    std::uint16_t start = 0;
    do {
      std::memcpy(&start, block + block_.outlier_starts_at() + ++panel * sizeof(start),
                  sizeof(start));
    } while (start <= i);
    return panel - 1;
  }

  key_block<Codes> block_;
  typename std::conditional_t<is_plain,
                              std::type_identity<plain_codes<typename Codes::element, kMost>>,
                              token_codes<Codes, kMost>>::type codes_;
  // The elements of a block that are kept apart, channel by channel.
  static constexpr std::size_t kept = Codes::is_per_channel ? max_head_dim * Codes::outliers : 0;
  std::uint16_t places_[kept + 1];
  std::uint16_t lacking_[kept + 1];
};

/// Stores values of one head; a pointer to a block is to its values.
template <class Codes>
class value_store {
  using column = panel_column<Codes>;
  static constexpr bool is_plain = is_plain_float<typename Codes::spec>;

 public:
  value_store(const cache_geometry& geometry, const float* entries)
      : block_(geometry), codes_(entries) {}

  void store(std::byte* values, std::size_t place, const float* x) {
    if constexpr (is_plain) {
      codes_.run(x, block_.head_dim);
      for (std::size_t d = 0; d < block_.head_dim; d += panel_rows) {
        const std::size_t count = std::min(panel_rows, block_.head_dim - d);
        constexpr std::size_t bytes = sizeof(typename column::code_type);
        std::memcpy(panel(values, d) + place * panel_rows * bytes, codes_.codes() + d,
                    count * bytes);
      }
    } else {
      quantize_row_apart<Codes, max_head_dim>(
          codes_, x, block_.head_dim, block_.template group_cols<Codes>(),
          [&](std::size_t i, std::size_t d, float lacking) {
            store_number(values + block_.outliers_at(), place * Codes::outliers + i,
                         cache_outlier{static_cast<std::uint16_t>(d), fp16::encode(lacking)});
          });
      for (std::size_t d = 0; d < block_.head_dim; ++d) {
        column::set(panel(values, d), place, d % panel_rows, codes_.code(d));
      }
      for (std::size_t g = 0; g < codes_.groups(); ++g) {
        store_number(values + block_.scales_at(g), place, codes_.scale_code(g));
        if constexpr (Codes::has_offset) {
          store_number(values + block_.offsets_at(g), place, codes_.zero_code(g));
        }
      }
      if constexpr (Codes::has_outer) {
        store_number(values + block_.outer_at(), place, codes_.outer_scale());
      }
    }
  }

  /// The value of a token, as it is stored.
  void load(const std::byte* values, std::size_t place, float* x) const noexcept {
    for (std::size_t d = 0; d < block_.head_dim; ++d) {
      const auto code = column::get(values + block_.panel_at(d), place, d % panel_rows);
      if constexpr (is_plain) {
        x[d] = Codes::element::decode(code);
      } else {
        const std::size_t g = d / block_.template group_cols<Codes>();
        x[d] =
            stored_value<Codes>(code, codes_, values + block_.scales_at(g),
                                values + block_.offsets_at(g), values + block_.outer_at(), place);
      }
    }
    for (std::size_t i = 0; i < Codes::outliers; ++i) {
      const cache_outlier outlier =
          load_outlier(values + block_.outliers_at(), place * Codes::outliers + i);
      x[outlier.place] += fp16::decode(outlier.lacking);
    }
  }

  /// These are as those of keys.
  [[nodiscard]] bool is_finite(const std::byte* values) const noexcept {
    for (std::size_t d = 0; d < block_.padded_dim(); d += panel_rows) {
      if (!is_finite_panel<Codes>(values + block_.panel_at(d), block_.tokens)) return false;
    }
    const std::size_t count = block_.template groups<Codes>() * block_.tokens;
    return has_finite_scales<Codes>(values, block_, count, block_.tokens) &&
           are_finite_outliers(values + block_.outliers_at(), block_.tokens * Codes::outliers);
  }
  [[nodiscard]] bool has_sound_places(const std::byte* values) const noexcept {
    for (std::size_t i = 0; i < block_.tokens * Codes::outliers; ++i) {
      if (load_outlier(values + block_.outliers_at(), i).place >= block_.head_dim) return false;
    }
    return true;
  }

 private:
  [[nodiscard]] std::byte* panel(std::byte* values, std::size_t d) const noexcept {
    return values + block_.panel_at(d);
  }

  value_block<Codes> block_;
  typename std::conditional_t<
      is_plain, std::type_identity<plain_codes<typename Codes::element, max_head_dim>>,
      token_codes<Codes, max_head_dim>>::type codes_;
};

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
