// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Eight codes of 1 to 7 bits at a time between bytes and a word without gaps.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

static_assert(std::endian::native == std::endian::little,
              "qompose: packed_codes: eight codes are moved as one little-endian word; big-endian "
              "machines need another loop");

/// The low `Bits` bits of eight bytes, side by side: three folds, each halving the number of
/// fields.
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

/// n codes of `Format` to (n * bits + 7) / 8 bytes, lowest bits first, the last byte padded with
/// zeros.
template <element_format Format>
QOMPOSE_INLINE void pack_codes(const typename Format::storage_type* codes, std::size_t n,
                               std::uint8_t* bytes) noexcept {
  constexpr auto bits = static_cast<std::size_t>(Format::bits);
  if constexpr (bits >= 8) {
    if (n > 0) std::memcpy(bytes, codes, n * sizeof(*codes));
  } else {
    for (; n >= 8; n -= 8, codes += 8, bytes += bits) {
      std::uint64_t word;
      std::memcpy(&word, codes, 8);
      word = gather_fields<bits>(word);
      std::memcpy(bytes, &word, bits);
    }
    if (n == 0) return;
    std::uint64_t word = 0;
    std::memcpy(&word, codes, n);
    word = gather_fields<bits>(word);
    std::memcpy(bytes, &word, (n * bits + 7) / 8);
  }
}

/// The other way round; signed codes are two's complement.
template <element_format Format>
QOMPOSE_INLINE void unpack_codes(const std::uint8_t* bytes, std::size_t n,
                                 typename Format::storage_type* codes) noexcept {
  constexpr auto bits = static_cast<std::size_t>(Format::bits);
  if constexpr (bits >= 8) {
    if (n > 0) std::memcpy(codes, bytes, n * sizeof(*codes));
  } else {
    const auto widen = [](std::uint64_t word) QOMPOSE_FLATTEN {
      word = scatter_fields<bits>(word);
      if constexpr (static_cast<typename Format::storage_type>(-1) < 0) {
        // (field ^ sign) - sign in every byte; the top bits keep borrows from crossing bytes.
        constexpr std::uint64_t signs = 0x0101'0101'0101'0101u << (bits - 1);
        constexpr std::uint64_t tops = 0x8080'8080'8080'8080u;
        word = (((word ^ signs) | tops) - signs) ^ tops;
      }
      return word;
    };
    // Whole words, of which the upper bits belong to the next codes, as long as there are that
    // many.
    const std::uint8_t* end = bytes + (n * bits + 7) / 8;
    for (; n >= 8 && end - bytes >= 8; n -= 8, codes += 8, bytes += bits) {
      std::uint64_t word;
      std::memcpy(&word, bytes, 8);
      word = widen(word);
      std::memcpy(codes, &word, 8);
    }
    for (; n > 0; codes += 8, bytes += bits) {
      const std::size_t count = n < 8 ? n : 8;
      std::uint64_t word = 0;
      std::memcpy(&word, bytes, (count * bits + 7) / 8);
      word = widen(word);
      std::memcpy(codes, &word, count);
      n -= count;
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace detail
}  // namespace qompose
