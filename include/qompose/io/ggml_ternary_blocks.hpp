// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The ggml encodings of -1, 0, +1 with blocks of 256 elements and one scale: TQ1_0, TQ2_0.

#include <cstddef>
#include <cstdint>

#include "qompose/core/config.hpp"
#include "qompose/io/ggml_legacy_blocks.hpp"
#include "qompose/io/tensor_encoding.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// Elements of `n_bytes` bytes with `n_digits` base-3 digits each; digit t of byte l is element
/// t * n_bytes + l. A byte is the digits as a fraction of 256, rounded up, so multiplying by 3
/// pushes out one digit after the other.
QOMPOSE_INLINE float* decode_trits(const std::byte* bytes, std::size_t n_bytes,
                                   std::size_t n_digits, float scale, float* out) noexcept {
  std::uint32_t power = 1;
  for (std::size_t digit = 0; digit < n_digits; ++digit, power *= 3, out += n_bytes) {
    for (std::size_t l = 0; l < n_bytes; ++l) {
      const std::uint32_t fraction = (std::to_integer<std::uint32_t>(bytes[l]) * power) & 0xffu;
      out[l] = static_cast<float>(static_cast<int>(fraction * 3 >> 8) - 1) * scale;
    }
  }
  return out;
}

/// 48 bytes of five digits (32, then 16), 4 bytes of four digits, scale (half).
inline void decode_tq1_0(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 54) {
    const float scale = load_half(block + 52);
    out = decode_trits(block, 32, 5, scale, out);
    out = decode_trits(block + 32, 16, 5, scale, out);
    out = decode_trits(block + 48, 4, 4, scale, out);
  }
}

/// 64 bytes of 2-bit codes, scale (half); value = scale * (code - 1). Byte l of a half holds
/// elements l, 32 + l, 64 + l, 96 + l.
inline void decode_tq2_0(const std::byte* block, std::size_t n_blocks, float* out) noexcept {
  for (; n_blocks > 0; --n_blocks, block += 66, out += 256) {
    const float scale = load_half(block + 64);
    for (std::size_t run = 0; run < 8; ++run) {
      const std::byte* codes = block + run / 4 * 32;
      const auto shift = static_cast<int>(run % 4 * 2);
      for (std::size_t l = 0; l < 32; ++l) {
        const int code = (std::to_integer<int>(codes[l]) >> shift) & 3;
        out[run * 32 + l] = static_cast<float>(code - 1) * scale;
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
