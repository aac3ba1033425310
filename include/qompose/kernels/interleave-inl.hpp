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

#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Tiles of int8 codes, [columns / 4][kWidth tokens][4 codes].
template <std::size_t kWidth>
struct InterleaveCodes {
  /// One group of a tile.
  ///
  /// @param rows    `kWidth` rows of `count` codes, `stride` bytes apart
  /// @param padded  columns of the group in the tile, a multiple of 4; those past `count` become 0
  /// @param tile    padded * kWidth codes; may be `rows` itself where kWidth is 1
  static HWY_INLINE void Run(const std::int8_t* rows, std::size_t stride, std::size_t count,
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

  /// Sums of the codes of each token in a group of a tile.
  /// @param sums  kWidth sums, overwritten
  static HWY_INLINE void Sums(const std::int8_t* tile, std::size_t padded, std::int32_t* sums) {
    const std::size_t words = padded / 4 * kWidth;
    std::size_t i = 0;
    std::fill_n(sums, kWidth, 0);
#if !QOMPOSE_PLAIN_TARGET
    if constexpr (N % kWidth == 0) {
      // Lane l belongs to token l % kWidth. Products with ones are what AddNibbles is made for.
      const UBytes ones = hn::Set(DU8(), std::uint8_t{1});
      constexpr std::size_t kTogether = std::min<std::size_t>(kPartialColumns / 4, 64);
      VI total = hn::Zero(DI());
      while (i + N <= words) {
        Partial partial = StartPartial(total);
        for (std::size_t k = 0; k < kTogether && i + N <= words; ++k, i += N) {
          const auto* bytes = reinterpret_cast<const std::uint8_t*>(tile + 4 * i);
          AddNibbles(partial, ones, hn::BitCast(DI8(), LoadBytes(bytes)));
        }
        total = FlushPartial(total, partial);
      }
      StoreFolded(DI(), total, sums);
    }
#endif
    for (; i < words; ++i) {
      for (std::size_t k = 0; k < 4; ++k) sums[i % kWidth] += tile[4 * i + k];
    }
  }

 private:
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
