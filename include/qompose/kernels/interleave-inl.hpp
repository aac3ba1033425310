// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Codes of several tokens side by side, and their sums: a tile for the integer products.

#if defined(QOMPOSE_KERNELS_INTERLEAVE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_INTERLEAVE_INL_HPP_
#undef QOMPOSE_KERNELS_INTERLEAVE_INL_HPP_
#else
#define QOMPOSE_KERNELS_INTERLEAVE_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/dot-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Tiles of int8 codes, [columns / 4][kWidth tokens] quads as the products want them.
/// @tparam kCodeBytes  of a quad: 4 as they are, or 8 in 16 bits (see Dot)
template <std::size_t kWidth, std::size_t kCodeBytes>
struct InterleaveCodes {
  static_assert(kCodeBytes == 4 || kCodeBytes == 8);

  /// One group of a tile.
  ///
  /// @param rows    `kWidth` rows of `count` codes, `stride` bytes apart
  /// @param padded  columns of the group in the tile, a multiple of 4; those past `count` become 0
  /// @param tile    padded * kWidth codes; may be `rows` itself where kWidth is 1 and kCodeBytes 4
  /// @param sums    of each token's codes, overwritten
  static HWY_INLINE void Run(const std::int8_t* rows, std::size_t stride, std::size_t count,
                             std::size_t padded, std::int8_t* tile, std::int32_t* sums) {
    // Wide quads start as bytes in the second half of their place; none is overwritten before it
    // has been read.
    std::int8_t* bytes = tile + padded * kWidth * (kCodeBytes / 4 - 1);
    Interleave(rows, stride, count, padded, bytes);
    Sum(bytes, padded, sums);
    if constexpr (kCodeBytes == 8) Widen(bytes, padded / 4 * kWidth, tile);
  }

 private:
  static HWY_INLINE void Interleave(const std::int8_t* rows, std::size_t stride, std::size_t count,
                                    std::size_t padded, std::int8_t* tile) {
    if constexpr (kWidth == 1) {
      if (rows != tile) std::memcpy(tile, rows, count);
      if (count < padded) std::memset(tile + count, 0, padded - count);
      return;
    }
    std::size_t c = 0;
    for (; c + 4 * kWords <= count; c += 4 * kWords) Words(rows + c, stride, tile + c * kWidth);
    for (; c + 4 <= count; c += 4) {
      for (std::size_t m = 0; m < kWidth; ++m) {
        std::memcpy(tile + c * kWidth + 4 * m, rows + m * stride + c, 4);
      }
    }
    if (c == padded) return;
    std::memset(tile + c * kWidth, 0, (padded - c) * kWidth);
    for (std::size_t m = 0; m < kWidth; ++m) {
      std::memcpy(tile + c * kWidth + 4 * m, rows + m * stride + c, count - c);
    }
  }

  static HWY_INLINE void Sum(const std::int8_t* tile, std::size_t padded, std::int32_t* sums) {
    const std::size_t words = padded / 4 * kWidth;
    std::size_t i = 0;
    std::fill_n(sums, kWidth, 0);
#if !QOMPOSE_PLAIN_TARGET
    if constexpr (N % kWidth == 0) {
      // Lane l belongs to token l % kWidth. Sums of codes are products with ones.
      using Product = Dot<1>;
      const auto ones = Product::Prepare(hn::Set(DU8(), std::uint8_t{1}));
      const auto codes = [&](std::size_t word)
                             QOMPOSE_FLATTEN { return hn::LoadU(DI8(), tile + 4 * word); };
      VI total = hn::Zero(DI());
      while (i + N <= words) {
        typename Product::Partial partial = Product::Start();
        for (std::size_t k = 0; k < Product::kRun && i + N <= words; ++k, i += N) {
          Product::Add(partial, ones, codes(i));
        }
        total = Product::Flush(total, partial);
      }
      StoreFolded(DI(), total, sums);
    }
#endif
    for (; i < words; ++i) {
      for (std::size_t k = 0; k < 4; ++k) sums[i % kWidth] += tile[4 * i + k];
    }
  }

  /// Quads (a, b, c, d) of bytes to (a, c, b, d) of 16 bits.
  static HWY_INLINE void Widen(const std::int8_t* bytes, std::size_t quads, std::int8_t* out) {
    std::size_t i = 0;
#if !QOMPOSE_PLAIN_TARGET
    using DB = hn::Rebind<std::int8_t, DI16>;
    constexpr std::size_t kQuads = hn::MaxLanes(DI16()) / 4;
    alignas(32) std::int8_t order[4 * kQuads];
    constexpr std::int8_t kWithin[4] = {0, 2, 1, 3};
    for (std::size_t k = 0; k < 4 * kQuads; ++k) {
      order[k] =
          static_cast<std::int8_t>(k / 4 * 4 % 16 + static_cast<std::size_t>(kWithin[k % 4]));
    }
    const auto indices = hn::LoadU(DB(), order);
    for (; i + kQuads <= quads; i += kQuads) {
      const auto moved = hn::TableLookupBytes(hn::LoadU(DB(), bytes + 4 * i), indices);
      hn::StoreU(hn::PromoteTo(DI16(), moved), DI16(),
                 reinterpret_cast<std::int16_t*>(out + 8 * i));
    }
#endif
    for (; i < quads; ++i) {
      const std::int8_t* quad = bytes + 4 * i;
      const std::int16_t wide[4] = {quad[0], quad[2], quad[1], quad[3]};
      std::memcpy(out + 8 * i, wide, sizeof(wide));
    }
  }

  // A group of 32 codes is eight words, so longer vectors would miss it.
  using DW = hn::CappedTag<std::int32_t, 8>;
  static constexpr std::size_t kWords = hn::MaxLanes(DW());

  /// The next kWords words of each row.
  static HWY_INLINE void Words(const std::int8_t* rows, std::size_t stride, std::int8_t* tile) {
    const auto word = [&](std::size_t m) QOMPOSE_FLATTEN {
      return hn::LoadU(DW(), reinterpret_cast<const std::int32_t*>(rows + m * stride));
    };
    auto* out = reinterpret_cast<std::int32_t*>(tile);
    if constexpr (kWidth == 2) {
      hn::StoreInterleaved2(word(0), word(1), DW(), out);
    } else if constexpr (kWidth == 4) {
      hn::StoreInterleaved4(word(0), word(1), word(2), word(3), DW(), out);
    } else if constexpr (kWidth % 4 == 0) {
      alignas(32) std::int32_t quad[4 * kWords];
      for (std::size_t m = 0; m < kWidth; m += 4) {
        hn::StoreInterleaved4(word(m), word(m + 1), word(m + 2), word(m + 3), DW(), quad);
        for (std::size_t c = 0; c < kWords; ++c) {
          std::memcpy(out + c * kWidth + m, quad + 4 * c, 4 * sizeof(std::int32_t));
        }
      }
    } else {
      for (std::size_t c = 0; c < kWords; ++c) {
        for (std::size_t m = 0; m < kWidth; ++m) {
          std::memcpy(out + c * kWidth + m, rows + m * stride + 4 * c, sizeof(std::int32_t));
        }
      }
    }
  }

#if !QOMPOSE_PLAIN_TARGET
  /// Sums of lanes that are congruent modulo kWidth.
  template <class D>
  static HWY_INLINE void StoreFolded(D d, hn::Vec<D> v, std::int32_t* out) {
    if constexpr (kWidth == 1) {
      *out = hn::GetLane(hn::SumOfLanes(d, v));
    } else if constexpr (hn::MaxLanes(D()) == kWidth) {
      hn::StoreU(v, d, out);
    } else {
      const hn::Half<D> half;
      StoreFolded(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), out);
    }
  }
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
