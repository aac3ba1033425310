// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Keys and values into the blocks of a cache, and exact ones out of them again.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/packing/cache_block.hpp"
#include "qompose/packing/planes.hpp"
#include "qompose/quantize/row_codes.hpp"

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

inline namespace QOMPOSE_ISA {

/// What quantizes a token of one head, or a channel of a block.
template <class Codes, std::size_t kMost>
struct token_codes {
  using type = row_codes<typename Codes::spec, kMost,
                         divide_up(kMost, std::min(Codes::most_group_columns, kMost))>;
};

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
    const std::size_t lane = place % panel_rows;
    if constexpr (is_plain) {
      for (std::size_t d = 0; d < block_.head_dim; ++d) {
        column::set(panel, d, lane, Codes::element::encode(x[d]));
      }
    } else {
      codes_.run(x, block_.head_dim, block_.template group_cols<Codes>());
      for (std::size_t d = 0; d < block_.head_dim; ++d) column::set(panel, d, lane, codes_.code(d));
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

  /// Channel d of all keys of a block.
  void store_channel(std::byte* block, std::size_t d, const float* tokens) {
    static_assert(Codes::is_per_channel);
    codes_.run(tokens, block_.tokens, block_.tokens);
    for (std::size_t t = 0; t < block_.tokens; ++t) {
      column::set(block + block_.panel_at(t), d, t % panel_rows, codes_.code(t));
    }
    store_number(block + block_.scales_at(), d, codes_.scale_code(0));
    if constexpr (Codes::has_offset) {
      store_number(block + block_.offsets_at(), d, codes_.zero_code(0));
    }
  }

  /// The key of a token of a plain format.
  void load(const std::byte* block, std::size_t place, float* x) const noexcept {
    static_assert(is_plain);
    const std::byte* panel = block + block_.panel_at(place);
    for (std::size_t d = 0; d < block_.head_dim; ++d) {
      x[d] = Codes::element::decode(column::get(panel, d, place % panel_rows));
    }
  }
  /// One element of it.
  [[nodiscard]] float element(const std::byte* block, std::size_t place,
                              std::size_t d) const noexcept {
    static_assert(is_plain);
    return Codes::element::decode(
        column::get(block + block_.panel_at(place), d, place % panel_rows));
  }
  /// The key of a token of scales per channel.
  void load_quantized(const std::byte* block, std::size_t place, float* x) const noexcept {
    const std::byte* panel = block + block_.panel_at(place);
    for (std::size_t d = 0; d < block_.head_dim; ++d) {
      const float scale = number<typename Codes::scale_format>(block + block_.scales_at(), d);
      float offset = 0.0f;
      if constexpr (Codes::has_offset) {
        offset = number<typename Codes::offset_format>(block + block_.offsets_at(), d);
        if constexpr (Codes::has_zero_point) offset = -offset * scale;
      }
      x[d] = scale * value(column::get(panel, d, place % panel_rows)) + offset;
    }
  }

 private:
  template <class Format>
  [[nodiscard]] static float number(const std::byte* at, std::size_t i) noexcept {
    typename Format::storage_type code;
    std::memcpy(&code, at + i * sizeof(code), sizeof(code));
    return Format::decode(code);
  }
  [[nodiscard]] float value(typename column::code_type code) const noexcept {
    if constexpr (Codes::is_learned) {
      return codes_.entries()[code];
    } else {
      return Codes::element::decode(code);
    }
  }

  struct nothing {
    explicit nothing(const float*) {}
  };
  key_block<Codes> block_;
  typename std::conditional_t<is_plain, std::type_identity<nothing>,
                              token_codes<Codes, kMost>>::type codes_;
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
      for (std::size_t d = 0; d < block_.head_dim; ++d) {
        column::set(panel(values, d), place, d % panel_rows, Codes::element::encode(x[d]));
      }
    } else {
      codes_.run(x, block_.head_dim, block_.template group_cols<Codes>());
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

  void load(const std::byte* values, std::size_t place, float* x) const noexcept {
    static_assert(is_plain);
    for (std::size_t d = 0; d < block_.head_dim; ++d) {
      const std::byte* at = values + d / panel_rows * block_.panel_bytes();
      x[d] = Codes::element::decode(column::get(at, place, d % panel_rows));
    }
  }

 private:
  [[nodiscard]] std::byte* panel(std::byte* values, std::size_t d) const noexcept {
    return values + d / panel_rows * block_.panel_bytes();
  }

  struct nothing {
    explicit nothing(const float*) {}
  };
  value_block<Codes> block_;
  typename std::conditional_t<is_plain, std::type_identity<nothing>,
                              token_codes<Codes, max_head_dim>>::type codes_;
};

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
