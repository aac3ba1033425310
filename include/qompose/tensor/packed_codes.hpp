// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Codes of any width in rows of bytes, without waste inside a row.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"
#include "qompose/tensor/code_words.hpp"

namespace qompose {

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

  /// Codes that are to be set, all of them.
  QOMPOSE_INLINE packed_codes(std::size_t rows, std::size_t cols, uninitialized tag)
      : row_bytes_((cols * bits + 7) / 8), bytes_(rows * row_bytes_, tag) {}

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

  /// The byte at which code `first` of row r begins.
  /// @pre first is a multiple of 8
  [[nodiscard]] QOMPOSE_INLINE std::uint8_t* at(std::size_t r, std::size_t first) noexcept {
    return bytes_.data() + r * row_bytes_ + first / 8 * bits;
  }
  [[nodiscard]] QOMPOSE_INLINE const std::uint8_t* at(std::size_t r,
                                                      std::size_t first) const noexcept {
    return bytes_.data() + r * row_bytes_ + first / 8 * bits;
  }
  /// Stores all codes of row r.
  QOMPOSE_INLINE void set_row(std::size_t r, std::size_t cols, const storage_type* codes) noexcept {
    detail::pack_codes<Format>(codes, cols, at(r, 0));
  }
  /// Reads all codes of row r.
  QOMPOSE_INLINE void get_row(std::size_t r, std::size_t cols, storage_type* codes) const noexcept {
    detail::unpack_codes<Format>(at(r, 0), cols, codes);
  }
  /// The codes of row r where they lie as they are: for formats of whole bytes.
  [[nodiscard]] QOMPOSE_INLINE storage_type* row(std::size_t r) noexcept
    requires(bits >= 8)
  {
    return reinterpret_cast<storage_type*>(bytes_.data() + r * row_bytes_);
  }
  [[nodiscard]] QOMPOSE_INLINE const storage_type* row(std::size_t r) const noexcept
    requires(bits >= 8)
  {
    return reinterpret_cast<const storage_type*>(bytes_.data() + r * row_bytes_);
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
