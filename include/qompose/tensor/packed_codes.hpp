// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Codes of any width in rows of bytes, without waste inside a row.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

namespace detail {
inline namespace QOMPOSE_ISA {

static_assert(std::endian::native == std::endian::little,
              "qompose: packed_codes: eight codes are moved as one little-endian word; big-endian "
              "machines need another loop");

/// The low `Bits` bits of eight bytes, side by side: three folds, each halving the number of fields.
template <std::size_t Bits>
[[nodiscard]] QOMPOSE_INLINE constexpr std::uint64_t gather_fields(std::uint64_t bytes) noexcept {
  constexpr std::size_t gap = 8 - Bits;
  std::uint64_t w = bytes & (0x0101'0101'0101'0101u * ((1u << Bits) - 1));
  w = (w & 0x00ff'00ff'00ff'00ffu) | ((w & 0xff00'ff00'ff00'ff00u) >> gap);
  w = (w & 0x0000'ffff'0000'ffffu) | ((w & 0xffff'0000'ffff'0000u) >> (2 * gap));
  return (w & 0xffff'ffffu) | ((w >> 32) << (32 - 4 * gap));
}

/// The other way round.
template <std::size_t Bits>
[[nodiscard]] QOMPOSE_INLINE constexpr std::uint64_t scatter_fields(std::uint64_t fields) noexcept {
  constexpr std::size_t gap = 8 - Bits;
  constexpr std::uint64_t four = (std::uint64_t{1} << (4 * Bits)) - 1;
  constexpr std::uint64_t two = ((std::uint64_t{1} << (2 * Bits)) - 1) * 0x1'0000'0001u;
  constexpr std::uint64_t one = ((std::uint64_t{1} << Bits) - 1) * 0x0001'0001'0001'0001u;
  std::uint64_t w = (fields & four) | ((fields & (four << (4 * Bits))) << (4 * gap));
  w = (w & two) | ((w & (two << (2 * Bits))) << (2 * gap));
  return (w & one) | ((w & (one << Bits)) << gap);
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// A [rows, cols] matrix of codes of `Format`, code c of a row at its bits [c * bits, ...), lowest
/// bit first; rows start at bytes.
template <element_format Format>
class packed_codes {
 public:
  using storage_type = typename Format::storage_type;
  static constexpr std::size_t bits = static_cast<std::size_t>(Format::bits);

  QOMPOSE_INLINE packed_codes() noexcept = default;
  QOMPOSE_INLINE packed_codes(std::size_t rows, std::size_t cols)
      : row_bytes_((cols * bits + 7) / 8), bytes_(rows * row_bytes_) {}

  [[nodiscard]] QOMPOSE_INLINE storage_type get(std::size_t r, std::size_t c) const noexcept {
    const std::uint8_t* row = bytes_.data() + r * row_bytes_;
    if constexpr (bits >= 8) {
      static_assert(bits == 8 * sizeof(storage_type));
      storage_type code;
      std::memcpy(&code, row + c * sizeof(code), sizeof(code));
      return code;
    } else {
      const std::size_t at = c * bits;
      const std::size_t shift = at % 8;
      unsigned window = row[at / 8];
      if (shift + bits > 8) window |= static_cast<unsigned>(row[at / 8 + 1]) << 8;
      const unsigned code = (window >> shift) & mask;
      // Codes are two's complement for signed formats; widen the sign.
      if constexpr (static_cast<storage_type>(-1) < 0) {
        return static_cast<storage_type>(static_cast<int>(code ^ sign) - static_cast<int>(sign));
      } else {
        return static_cast<storage_type>(code);
      }
    }
  }

  QOMPOSE_INLINE void set(std::size_t r, std::size_t c, storage_type code) noexcept {
    std::uint8_t* row = bytes_.data() + r * row_bytes_;
    if constexpr (bits >= 8) {
      std::memcpy(row + c * sizeof(code), &code, sizeof(code));
    } else {
      const std::size_t at = c * bits;
      const std::size_t shift = at % 8;
      const unsigned window = (static_cast<unsigned>(code) & mask) << shift;
      row[at / 8] = static_cast<std::uint8_t>((row[at / 8] & ~(mask << shift)) | window);
      if (shift + bits > 8) {
        row[at / 8 + 1] =
            static_cast<std::uint8_t>((row[at / 8 + 1] & ~((mask << shift) >> 8)) | (window >> 8));
      }
    }
  }

  /// Stores all codes of row r.
  QOMPOSE_INLINE void set_row(std::size_t r, std::size_t cols, const storage_type* codes) noexcept {
    std::uint8_t* row = bytes_.data() + r * row_bytes_;
    if constexpr (bits >= 8) {
      if (cols > 0) std::memcpy(row, codes, cols * sizeof(storage_type));
    } else {
      for (std::size_t c = 0; c < cols; c += 8, row += bits) {
        const std::size_t count = cols - c < 8 ? cols - c : 8;
        std::uint64_t word = 0;
        std::memcpy(&word, codes + c, count);
        word = detail::gather_fields<bits>(word);
        std::memcpy(row, &word, (count * bits + 7) / 8);
      }
    }
  }
  /// Reads all codes of row r.
  QOMPOSE_INLINE void get_row(std::size_t r, std::size_t cols, storage_type* codes) const noexcept {
    const std::uint8_t* row = bytes_.data() + r * row_bytes_;
    if constexpr (bits >= 8) {
      if (cols > 0) std::memcpy(codes, row, cols * sizeof(storage_type));
    } else {
      for (std::size_t c = 0; c < cols; c += 8, row += bits) {
        const std::size_t count = cols - c < 8 ? cols - c : 8;
        std::uint64_t word = 0;
        std::memcpy(&word, row, (count * bits + 7) / 8);
        word = detail::scatter_fields<bits>(word);
        if constexpr (static_cast<storage_type>(-1) < 0) {
          // (field ^ sign) - sign in every byte; no borrow crosses bytes, as it stops at the top.
          constexpr std::uint64_t signs = 0x0101'0101'0101'0101u * sign;
          constexpr std::uint64_t tops = 0x8080'8080'8080'8080u;
          word = (((word ^ signs) | tops) - signs) ^ tops;
        }
        std::memcpy(codes + c, &word, count);
      }
    }
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept { return bytes_.size(); }
  [[nodiscard]] QOMPOSE_INLINE const std::uint8_t* data() const noexcept { return bytes_.data(); }
  [[nodiscard]] QOMPOSE_INLINE std::uint8_t* data() noexcept { return bytes_.data(); }

 private:
  static constexpr unsigned mask = bits >= 8 ? 0xffu : (1u << bits) - 1u;
  static constexpr unsigned sign = bits >= 8 ? 0u : 1u << (bits - 1);

  std::size_t row_bytes_ = 0;
  aligned_buffer<std::uint8_t> bytes_;
};

}  // namespace qompose
