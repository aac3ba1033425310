// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The ggml encodings with one scale for 32 elements, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL
///        and MXFP4, and NVFP4 with one for 16.
///
/// In all 4-bit ones, byte j holds element j in its low and element j + 16 in its high nibble;
/// the 5-bit ones keep the fifth bits of the 32 elements in one little-endian word. The product
/// of a half and a short integer is exact in float, so results do not depend on whether the
/// compiler contracts a multiplication and an addition.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "qompose/core/config.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp8_e4m3.hpp"
#include "qompose/io/tensor_encoding.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// A little-endian half at any address.
[[nodiscard]] QOMPOSE_INLINE float load_half(const std::byte* from) noexcept {
  return fp16::decode(load_unaligned<std::uint16_t>(from));
}

/// Bit `index` of `word`, moved to bit 4.
[[nodiscard]] QOMPOSE_INLINE int fifth_bit(std::uint32_t word, std::size_t index) noexcept {
  return static_cast<int>((word >> index) & 1u) << 4;
}

/// scale (half), 16 bytes of nibbles; value = scale * (code - 8).
inline void decode_q4_0(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 18, out += 32) {
    const float scale = load_half(block);
    for (std::size_t j = 0; j < 16; ++j) {
      const int both = std::to_integer<int>(block[2 + j]);
      out[j] = static_cast<float>((both & 15) - 8) * scale;
      out[j + 16] = static_cast<float>((both >> 4) - 8) * scale;
    }
  }
}

/// scale, minimum (halves), 16 bytes of nibbles; value = scale * code + minimum.
inline void decode_q4_1(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 20, out += 32) {
    const float scale = load_half(block);
    const float minimum = load_half(block + 2);
    for (std::size_t j = 0; j < 16; ++j) {
      const int both = std::to_integer<int>(block[4 + j]);
      out[j] = static_cast<float>(both & 15) * scale + minimum;
      out[j + 16] = static_cast<float>(both >> 4) * scale + minimum;
    }
  }
}

/// scale (half), fifth bits (4 bytes), 16 bytes of nibbles; value = scale * (code - 16).
inline void decode_q5_0(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 22, out += 32) {
    const float scale = load_half(block);
    const auto high = load_unaligned<std::uint32_t>(block + 2);
    for (std::size_t j = 0; j < 16; ++j) {
      const int both = std::to_integer<int>(block[6 + j]);
      out[j] = static_cast<float>(((both & 15) | fifth_bit(high, j)) - 16) * scale;
      out[j + 16] = static_cast<float>(((both >> 4) | fifth_bit(high, j + 16)) - 16) * scale;
    }
  }
}

/// scale, minimum (halves), fifth bits, 16 bytes of nibbles; value = scale * code + minimum.
inline void decode_q5_1(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 24, out += 32) {
    const float scale = load_half(block);
    const float minimum = load_half(block + 2);
    const auto high = load_unaligned<std::uint32_t>(block + 4);
    for (std::size_t j = 0; j < 16; ++j) {
      const int both = std::to_integer<int>(block[8 + j]);
      out[j] = static_cast<float>((both & 15) | fifth_bit(high, j)) * scale + minimum;
      out[j + 16] = static_cast<float>((both >> 4) | fifth_bit(high, j + 16)) * scale + minimum;
    }
  }
}

/// scale (half), 32 signed bytes; value = scale * code.
inline void decode_q8_0(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 34, out += 32) {
    const float scale = load_half(block);
    for (std::size_t j = 0; j < 32; ++j) {
      out[j] = static_cast<float>(std::to_integer<std::int8_t>(block[2 + j])) * scale;
    }
  }
}

/// scale (half), 16 bytes of nibbles that index a fixed table.
inline void decode_iq4_nl(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  constexpr std::array<float, 16> levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                            1,    13,   25,  38,  53,  69,  89,  113};
  for (; n_blocks > 0; --n_blocks, block += 18, out += 32) {
    const float scale = load_half(block);
    for (std::size_t j = 0; j < 16; ++j) {
      const auto both = std::to_integer<std::size_t>(block[2 + j]);
      out[j] = levels[both & 15] * scale;
      out[j + 16] = levels[both >> 4] * scale;
    }
  }
}

/// Twice the values of E2M1 codes, so that they are integers; scales make up for it.
inline constexpr std::array<float, 16> doubled_e2m1 = {0, 1,  2,  3,  4,  6,  8,  12,
                                                       0, -1, -2, -3, -4, -6, -8, -12};

/// exponent e (byte), 16 bytes of E2M1 nibbles; value = 2^(e - 127) * element.
///
/// ggml reads code 8 as +0 and exponent 255 as a power of two, not as NaN; so do we.
inline void decode_mxfp4(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 17, out += 32) {
    const auto exponent = std::to_integer<std::uint32_t>(block[0]);
    // 2^(e - 128): a float exponent field of e - 1, or one of the two subnormals below.
    const float half_scale =
        std::bit_cast<float>(exponent < 2 ? 0x0020'0000u << exponent : (exponent - 1) << 23);
    for (std::size_t j = 0; j < 16; ++j) {
      const auto both = std::to_integer<std::size_t>(block[1 + j]);
      out[j] = doubled_e2m1[both & 15] * half_scale;
      out[j + 16] = doubled_e2m1[both >> 4] * half_scale;
    }
  }
}

/// Four scales (E4M3 without the sign), then 8 bytes of E2M1 nibbles for each: byte j of a group
/// has element j in its low and element j + 8 in its high nibble.
///
/// The scale of the whole tensor is not in here. ggml reads code 8 as +0 and scale 127 as 0, not as
/// NaN; so do we.
inline void decode_nvfp4(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 36) {
    for (std::size_t group = 0; group < 4; ++group, out += 16) {
      const auto code = static_cast<std::uint8_t>(std::to_integer<unsigned>(block[group]) & 0x7fu);
      const float half_scale = code == 0x7f ? 0.0f : 0.5f * fp8_e4m3::decode(code);
      for (std::size_t j = 0; j < 8; ++j) {
        const auto both = std::to_integer<std::size_t>(block[4 + group * 8 + j]);
        out[j] = doubled_e2m1[both & 15] * half_scale;
        out[j + 8] = doubled_e2m1[both >> 4] * half_scale;
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
