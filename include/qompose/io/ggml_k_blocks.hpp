// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The ggml encodings with super-blocks of 256 elements and scales on two levels: Q2_K to
///        Q6_K.
///
/// Groups of 16 or 32 elements have a scale (and a minimum) of 4, 6 or 8 bits, and one half
/// multiplies all scales of a super-block, another all minima. Every product of the three
/// factors fits the 24 bits of a float, so results do not depend on contraction.

#include <cstddef>
#include <cstdint>

#include "qompose/core/config.hpp"
#include "qompose/io/ggml_legacy_blocks.hpp"
#include "qompose/io/tensor_encoding.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// 16 bytes (scale low, minimum high nibble), 64 bytes of 2-bit codes, scale of scales, scale of
/// minima (halves); value = d * scale * code - m * minimum.
inline void decode_q2_k(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 84, out += 256) {
    const float d = load_half(block + 80);
    const float m = load_half(block + 82);
    // 128 elements share 32 bytes: element 32 * t + l has bits 2t of byte l.
    for (std::size_t group = 0; group < 16; ++group) {
      const int packed = std::to_integer<int>(block[group]);
      const float scale = d * static_cast<float>(packed & 15);
      const float minimum = m * static_cast<float>(packed >> 4);
      const std::byte* codes = block + 16 + group / 8 * 32 + group % 2 * 16;
      const auto shift = static_cast<int>(group % 8 / 2 * 2);
      for (std::size_t l = 0; l < 16; ++l) {
        const int code = (std::to_integer<int>(codes[l]) >> shift) & 3;
        out[group * 16 + l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

/// Scale `group` of 16 with 6 bits each: the low nibbles of all lie in bytes 0-7 (groups 8-15 in
/// the high halves), the upper two bits in bytes 8-11.
[[nodiscard]] QOMPOSE_INLINE int q3_k_scale(const std::byte* packed, std::size_t group) noexcept {
  const int low = std::to_integer<int>(packed[group % 8]) >> (group / 8 * 4) & 15;
  const int high = std::to_integer<int>(packed[8 + group % 4]) >> (group / 4 * 2) & 3;
  return (low | high << 4) - 32;
}

/// 32 bytes of third bits, 64 bytes of 2-bit codes, 12 bytes of scales, scale of scales (half);
/// value = d * scale * (code - 4).
inline void decode_q3_k(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 110, out += 256) {
    const float d = load_half(block + 108);
    for (std::size_t group = 0; group < 16; ++group) {
      const float scale = d * static_cast<float>(q3_k_scale(block + 96, group));
      const std::byte* third_bits = block + group % 2 * 16;
      const std::byte* codes = block + 32 + group / 8 * 32 + group % 2 * 16;
      const auto shift = static_cast<int>(group % 8 / 2 * 2);
      const auto plane = static_cast<int>(group / 2);
      for (std::size_t l = 0; l < 16; ++l) {
        const int low = (std::to_integer<int>(codes[l]) >> shift) & 3;
        const int high = (std::to_integer<int>(third_bits[l]) >> plane) & 1;
        out[group * 16 + l] = scale * static_cast<float>((low | high << 2) - 4);
      }
    }
  }
}

/// A 6-bit scale and minimum.
struct scale_and_minimum {
  int scale;
  int minimum;
};

/// Scale and minimum of `group` of 8, 6 bits each in 12 bytes: groups 0-3 lie in the low six bits
/// of bytes 0-3 and 4-7; groups 4-7 have their low nibbles in bytes 8-11 and their upper bits in
/// what groups 0-3 left free.
[[nodiscard]] QOMPOSE_INLINE scale_and_minimum q4_k_scale_and_minimum(const std::byte* packed,
                                                                      std::size_t group) noexcept {
  const auto at = [&](std::size_t i) { return std::to_integer<int>(packed[i]); };
  if (group < 4) return {at(group) & 63, at(group + 4) & 63};
  return {(at(group + 4) & 15) | (at(group - 4) >> 6 << 4),
          (at(group + 4) >> 4) | (at(group) >> 6 << 4)};
}

/// scale of scales, scale of minima (halves), 12 bytes of scales and minima, 128 bytes of
/// nibbles; value = d * scale * code - m * minimum.
inline void decode_q4_k(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 144, out += 256) {
    const float d = load_half(block);
    const float m = load_half(block + 2);
    for (std::size_t group = 0; group < 8; ++group) {
      const scale_and_minimum s = q4_k_scale_and_minimum(block + 4, group);
      const float scale = d * static_cast<float>(s.scale);
      const float minimum = m * static_cast<float>(s.minimum);
      const std::byte* codes = block + 16 + group / 2 * 32;
      const auto shift = static_cast<int>(group % 2 * 4);
      for (std::size_t l = 0; l < 32; ++l) {
        const int code = (std::to_integer<int>(codes[l]) >> shift) & 15;
        out[group * 32 + l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

/// As Q4_K, with 32 bytes of fifth bits (bit `group` of byte l) before the nibbles.
inline void decode_q5_k(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 176, out += 256) {
    const float d = load_half(block);
    const float m = load_half(block + 2);
    for (std::size_t group = 0; group < 8; ++group) {
      const scale_and_minimum s = q4_k_scale_and_minimum(block + 4, group);
      const float scale = d * static_cast<float>(s.scale);
      const float minimum = m * static_cast<float>(s.minimum);
      const std::byte* fifth_bits = block + 16;
      const std::byte* codes = block + 48 + group / 2 * 32;
      const auto shift = static_cast<int>(group % 2 * 4);
      const auto plane = static_cast<int>(group);
      for (std::size_t l = 0; l < 32; ++l) {
        const int low = (std::to_integer<int>(codes[l]) >> shift) & 15;
        const int high = (std::to_integer<int>(fifth_bits[l]) >> plane) & 1;
        out[group * 32 + l] = scale * static_cast<float>(low | high << 4) - minimum;
      }
    }
  }
}

/// 128 bytes of low nibbles, 64 bytes of upper bit pairs, 16 signed scales, scale of scales
/// (half); value = d * scale * (code - 32).
inline void decode_q6_k(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 210, out += 256) {
    const float d = load_half(block + 208);
    for (std::size_t group = 0; group < 16; ++group) {
      const float scale = d * static_cast<float>(std::to_integer<std::int8_t>(block[192 + group]));
      // 128 elements are four runs of 32: two in the low nibbles of 64 bytes, two in the high.
      const std::size_t run = group % 8 / 2;
      const std::byte* nibbles = block + group / 8 * 64 + run % 2 * 32 + group % 2 * 16;
      const std::byte* pairs = block + 128 + group / 8 * 32 + group % 2 * 16;
      const auto nibble_shift = static_cast<int>(run / 2 * 4);
      const auto pair_shift = static_cast<int>(run * 2);
      for (std::size_t l = 0; l < 16; ++l) {
        const int low = (std::to_integer<int>(nibbles[l]) >> nibble_shift) & 15;
        const int high = (std::to_integer<int>(pairs[l]) >> pair_shift) & 3;
        out[group * 16 + l] = scale * static_cast<float>((low | high << 4) - 32);
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
