// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Which compositions GGUF has a type for, and how a block of each is laid out.
///
/// | composition | GGUF type |
/// |---|---|
/// | `fp32`, `fp16`, `bf16` | F32, F16, BF16 |
/// | `quant<int4, per_group<32>, scale<fp16>>` | Q4_0 |
/// | `quant<uint4, per_group<32>, scale<fp16>, minimum<fp16>>` | Q4_1 |
/// | `quant<int_n<5>, per_group<32>, scale<fp16>>` | Q5_0 |
/// | `quant<uint_n<5>, per_group<32>, scale<fp16>, minimum<fp16>>` | Q5_1 |
/// | `quant<int8, per_group<32>, scale<fp16>>` | Q8_0 |
/// | `quant<fp4_e2m1, per_group<32>, scale<e8m0>>` | MXFP4 |
/// | `quant<fp4_e2m1, per_group<16>, scale<quant<fp8_e4m3, per_tensor>>>` | NVFP4 |
///
/// Codes and scales are kept bit for bit. What they decode to is the same float, with two
/// exceptions: the 4-bit floats' negative zero is read as zero, and the scale that an NVFP4 tensor
/// has as a whole lies in a tensor of its own (see gguf_matrix.hpp), by which readers multiply in
/// their own order.

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/core/config.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/e8m0.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/fp4_e2m1.hpp"
#include "qompose/formats/fp8_e4m3.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/granularity/per_group.hpp"
#include "qompose/granularity/per_tensor.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// How GGUF stores `Spec`. Specialized for compositions that it has; such a row has
///
/// - `type`, ggml's number of the element type;
/// - `file_type`, llama.cpp's number of a file whose matrices are mostly of this type, for the key
///   `general.file_type`;
/// - `store(q, r, block, to)`, which writes one block of a row;
/// - where not every scale can be stored, `holds(scale code)`;
/// - where the tensor has a scale as a whole, `tensor_scale(q)`.
template <class Spec>
struct gguf_twin;

/// A composition that GGUF has a type for.
template <class Spec>
concept has_gguf_twin = tensor_spec<Spec> && requires { gguf_twin<Spec>::type; };

namespace detail {
inline namespace QOMPOSE_ISA {

/// Stores a number and moves on.
template <class T>
QOMPOSE_INLINE void store_next(std::byte*& to, T value) noexcept {
  std::memcpy(to, &value, sizeof value);
  to += sizeof value;
}

/// `2 * N` codes of four bits: byte j has code j in its low and code j + N in its high nibble.
template <std::size_t N, class Code>
QOMPOSE_INLINE void store_nibbles(std::byte*& to, Code&& code) noexcept {
  for (std::size_t j = 0; j < N; ++j) {
    const unsigned both = (code(j) & 15u) | (code(j + N) & 15u) << 4;
    store_next(to, static_cast<std::uint8_t>(both));
  }
}

/// The fifth bits of 32 codes, code j's at bit j.
template <class Code>
[[nodiscard]] QOMPOSE_INLINE std::uint32_t fifth_bits(Code&& code) noexcept {
  std::uint32_t bits = 0;
  for (std::size_t j = 0; j < 32; ++j) bits |= (code(j) >> 4 & 1u) << j;
  return bits;
}

/// Codes `first`, `first` + 1, ... of a row, moved up by `offset` so that none is negative.
template <class Matrix>
[[nodiscard]] QOMPOSE_INLINE auto codes_of(const Matrix& q, std::size_t r, std::size_t first,
                                           int offset = 0) noexcept {
  return [&q, r, first, offset](std::size_t j) QOMPOSE_FLATTEN {
    return static_cast<unsigned>(static_cast<int>(q.code(r, first + j)) + offset);
  };
}

}  // namespace QOMPOSE_ISA

/// A format without scales: a block is one code.
template <std::uint32_t Type, std::uint32_t FileType>
struct bare_gguf_twin {
  static constexpr std::uint32_t type = Type;
  static constexpr std::uint32_t file_type = FileType;
  template <class Matrix>
  QOMPOSE_INLINE static void store(const Matrix& q, std::size_t r, std::size_t block,
                                   std::byte* to) noexcept {
    store_next(to, q.code(r, block));
  }
};

}  // namespace detail

/// @cond
template <>
struct gguf_twin<fp32> : detail::bare_gguf_twin<0, 0> {};
template <>
struct gguf_twin<fp16> : detail::bare_gguf_twin<1, 1> {};
template <>
struct gguf_twin<bf16> : detail::bare_gguf_twin<30, 32> {};

// Q4_0
template <code_range Range>
struct gguf_twin<quant<int_n<4, Range>, per_group<32>, scale<fp16>>> {
  static constexpr std::uint32_t type = 2;
  static constexpr std::uint32_t file_type = 2;
  template <class Matrix>
  QOMPOSE_INLINE static void store(const Matrix& q, std::size_t r, std::size_t block,
                                   std::byte* to) noexcept {
    detail::store_next(to, q.scale_code(r, block));
    detail::store_nibbles<16>(to, detail::codes_of(q, r, block * 32, 8));
  }
};

// Q4_1
template <>
struct gguf_twin<quant<uint4, per_group<32>, scale<fp16>, minimum<fp16>>> {
  static constexpr std::uint32_t type = 3;
  static constexpr std::uint32_t file_type = 3;
  template <class Matrix>
  QOMPOSE_INLINE static void store(const Matrix& q, std::size_t r, std::size_t block,
                                   std::byte* to) noexcept {
    detail::store_next(to, q.scale_code(r, block));
    detail::store_next(to, q.zeros().code(r, block));
    detail::store_nibbles<16>(to, detail::codes_of(q, r, block * 32));
  }
};

// Q5_0
template <code_range Range>
struct gguf_twin<quant<int_n<5, Range>, per_group<32>, scale<fp16>>> {
  static constexpr std::uint32_t type = 6;
  static constexpr std::uint32_t file_type = 8;
  template <class Matrix>
  QOMPOSE_INLINE static void store(const Matrix& q, std::size_t r, std::size_t block,
                                   std::byte* to) noexcept {
    const auto codes = detail::codes_of(q, r, block * 32, 16);
    detail::store_next(to, q.scale_code(r, block));
    detail::store_next(to, detail::fifth_bits(codes));
    detail::store_nibbles<16>(to, codes);
  }
};

// Q5_1
template <>
struct gguf_twin<quant<uint_n<5>, per_group<32>, scale<fp16>, minimum<fp16>>> {
  static constexpr std::uint32_t type = 7;
  static constexpr std::uint32_t file_type = 9;
  template <class Matrix>
  QOMPOSE_INLINE static void store(const Matrix& q, std::size_t r, std::size_t block,
                                   std::byte* to) noexcept {
    const auto codes = detail::codes_of(q, r, block * 32);
    detail::store_next(to, q.scale_code(r, block));
    detail::store_next(to, q.zeros().code(r, block));
    detail::store_next(to, detail::fifth_bits(codes));
    detail::store_nibbles<16>(to, codes);
  }
};

// Q8_0
template <code_range Range>
struct gguf_twin<quant<int_n<8, Range>, per_group<32>, scale<fp16>>> {
  static constexpr std::uint32_t type = 8;
  static constexpr std::uint32_t file_type = 7;
  template <class Matrix>
  QOMPOSE_INLINE static void store(const Matrix& q, std::size_t r, std::size_t block,
                                   std::byte* to) noexcept {
    detail::store_next(to, q.scale_code(r, block));
    for (std::size_t j = 0; j < 32; ++j) detail::store_next(to, q.code(r, block * 32 + j));
  }
};

// MXFP4
template <>
struct gguf_twin<quant<fp4_e2m1, per_group<32>, scale<e8m0>>> {
  static constexpr std::uint32_t type = 39;
  static constexpr std::uint32_t file_type = 38;
  // ggml reads the code of NaN as a power of two.
  QOMPOSE_INLINE static constexpr bool holds(std::uint8_t scale_code) noexcept {
    return scale_code < 255;
  }
  template <class Matrix>
  QOMPOSE_INLINE static void store(const Matrix& q, std::size_t r, std::size_t block,
                                   std::byte* to) noexcept {
    detail::store_next(to, q.scale_code(r, block));
    detail::store_nibbles<16>(to, detail::codes_of(q, r, block * 32));
  }
};

// NVFP4: four groups of 16 elements, first their scales, which have no sign
template <>
struct gguf_twin<quant<fp4_e2m1, per_group<16>, scale<quant<fp8_e4m3, per_tensor>>>> {
  static constexpr std::uint32_t type = 40;
  static constexpr std::uint32_t file_type = 39;
  QOMPOSE_INLINE static constexpr bool holds(std::uint8_t scale_code) noexcept {
    return scale_code < 0x7f;
  }
  template <class Matrix>
  QOMPOSE_INLINE static void store(const Matrix& q, std::size_t r, std::size_t block,
                                   std::byte* to) noexcept {
    for (std::size_t g = 0; g < 4; ++g) detail::store_next(to, q.scale_code(r, block * 4 + g));
    for (std::size_t g = 0; g < 4; ++g) {
      detail::store_nibbles<8>(to, detail::codes_of(q, r, block * 64 + g * 16));
    }
  }
  template <class Matrix>
  [[nodiscard]] QOMPOSE_INLINE static float tensor_scale(const Matrix& q) noexcept {
    return q.scales().scale(0, 0);
  }
};
/// @endcond

}  // namespace qompose
