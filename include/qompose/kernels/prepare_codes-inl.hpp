// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Activations that are 8-bit codes already, in the order in which the products read them.

#if defined(QOMPOSE_KERNELS_PREPARE_CODES_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_PREPARE_CODES_INL_HPP_
#undef QOMPOSE_KERNELS_PREPARE_CODES_INL_HPP_
#else
#define QOMPOSE_KERNELS_PREPARE_CODES_INL_HPP_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/code_sums-inl.hpp"
#include "qompose/kernels/integer_arguments.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Makes tiles of int8 codes for @ref IntegerMatmul of int8 or uint8 ones.
template <class Matmul>
struct PrepareCodes {
  /// Tile `tile`, tokens [tile * tile_tokens, ...), and its corrections.
  /// @param rows  scratch: tile_tokens rows of codes, detail::code_row_stride apart
  static void Run(const detail::prepare_codes_arguments& a, std::size_t tile, std::int8_t* rows) {
    Matmul::WithTile(a.n_tokens, [&](auto width) { Tile<decltype(width)::value>(a, tile, rows); });
  }

 private:
  template <std::size_t kWidth>
  static HWY_INLINE void Tile(const detail::prepare_codes_arguments& a, std::size_t tile,
                              std::int8_t* rows) {
    const panel_geometry& geometry = a.geometry;
    const std::size_t stride = detail::code_row_stride(geometry.cols);
    for (std::size_t m = 0; m < kWidth; ++m) {
      const std::size_t token = tile * kWidth + m;
      if (token < a.n_tokens) {
        Flip(a.codes + token * a.stride, geometry.cols, a.flip, rows + m * stride);
      } else {
        std::memset(rows + m * stride, 0, geometry.cols);
      }
      const std::int32_t sum = CodeSums::One(rows + m * stride, geometry.cols);
      // Modulo 2^32, as the products: whole sums fit, parts of long rows of small weights may not.
      a.tiles.corrections[tile * kWidth + m] = static_cast<std::int32_t>(
          static_cast<std::uint32_t>(Matmul::kCorrection) * static_cast<std::uint32_t>(sum));
    }
    auto* out = reinterpret_cast<std::int8_t*>(a.tiles.values) +
                tile * kWidth * geometry.padded_cols / 4 * Matmul::kCodeBytes;
    Matmul::template Tile<kWidth>::Run(rows, stride, geometry.cols, geometry.padded_cols, out);
  }

  /// Bytes with the bits of `flip` turned over.
  static HWY_INLINE void Flip(const std::uint8_t* from, std::size_t count, std::uint8_t flip,
                              std::int8_t* to) {
    std::size_t c = 0;
#if !QOMPOSE_PLAIN_TARGET
    const UBytes flips = hn::Set(DU8(), flip);
    for (; c + 4 * N <= count; c += 4 * N) {
      hn::StoreU(hn::BitCast(DI8(), hn::Xor(LoadBytes(from + c), flips)), DI8(), to + c);
    }
#endif
    for (; c < count; ++c) to[c] = static_cast<std::int8_t>(from[c] ^ flip);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
