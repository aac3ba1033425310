// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief How a file stores the elements of a tensor, and the encodings without blocks.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/fp16.hpp"

namespace qompose {

static_assert(std::endian::native == std::endian::little,
              "qompose: io: model files are little-endian; this processor is not");

/// How a file stores elements: blocks of `block_size` elements in `block_bytes` bytes. A row of a
/// tensor is a whole number of blocks.
struct tensor_encoding {
  /// As people know it: `F16`, `Q4_1`.
  std::string_view name;
  /// Elements a block.
  std::size_t block_size = 0;
  /// Bytes a block.
  std::size_t block_bytes = 0;
  /// Decodes `n_blocks` blocks, of any alignment, into `n_blocks * block_size` floats.
  void (*decode)(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept = nullptr;
};

inline namespace QOMPOSE_ISA {

/// A value of type T at an address of any alignment.
template <class T>
[[nodiscard]] QOMPOSE_INLINE T load_unaligned(const std::byte* from) noexcept {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

inline void decode_f32(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  std::memcpy(out, blocks, n_blocks * sizeof(float));
}

/// Elements stored as the codes of a 16-bit format.
template <class Format>
void decode_16_bit(const std::byte* blocks, std::size_t n_blocks, float* out) noexcept {
  for (std::size_t i = 0; i < n_blocks; ++i) {
    out[i] = Format::decode(load_unaligned<std::uint16_t>(blocks + 2 * i));
  }
}

/// 32-bit floats.
inline constexpr tensor_encoding f32_encoding{"F32", 1, 4, &decode_f32};
/// IEEE halves.
inline constexpr tensor_encoding f16_encoding{"F16", 1, 2, &decode_16_bit<fp16>};
/// bfloat16.
inline constexpr tensor_encoding bf16_encoding{"BF16", 1, 2, &decode_16_bit<bf16>};

}  // namespace QOMPOSE_ISA
}  // namespace qompose
