// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Codes of several tokens side by side: a tile for the integer products.

#if defined(QOMPOSE_KERNELS_INTERLEAVE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_INTERLEAVE_INL_HPP_
#undef QOMPOSE_KERNELS_INTERLEAVE_INL_HPP_
#else
#define QOMPOSE_KERNELS_INTERLEAVE_INL_HPP_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

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
  static HWY_INLINE void Run(const std::int8_t* rows, std::size_t stride, std::size_t count,
                             std::size_t padded, std::int8_t* tile) {
    if constexpr (kWidth == 1 && kCodeBytes == 8) {
      if (count == padded) return Widen(rows, count / 4, tile);
    }
    // Wide quads start as bytes in the second half of their place; none is overwritten before it
    // has been read.
    std::int8_t* bytes = tile + padded * kWidth * (kCodeBytes / 4 - 1);
    Interleave(rows, stride, count, padded, bytes);
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

#if QOMPOSE_PLAIN_TARGET
  static constexpr std::size_t kWords = 1;

  static HWY_INLINE void Words(const std::int8_t* rows, std::size_t stride, std::int8_t* tile) {
    for (std::size_t m = 0; m < kWidth; ++m) std::memcpy(tile + 4 * m, rows + m * stride, 4);
  }
#else
  // A group of 32 codes is eight words, so longer vectors would miss it.
  using DW = hn::CappedTag<std::int32_t, 8>;
  using DQ = hn::CappedTag<std::int32_t, 4>;
  /// Whether eight words of a column are one vector.
  static constexpr bool kByEight = kWidth % 8 == 0 && hn::MaxLanes(DW()) == 8;
  static constexpr bool kBySix = kWidth == 6 && hn::MaxLanes(DW()) == 8;
  static constexpr bool kByFour = kWidth % 4 == 0;
  static constexpr std::size_t kWords = kWidth == 2 || kWidth == 4 ? hn::MaxLanes(DW()) : 4;

  /// The next kWords words of each row.
  static HWY_INLINE void Words(const std::int8_t* rows, std::size_t stride, std::int8_t* tile) {
    [[maybe_unused]] const std::size_t apart = stride / 4;
    [[maybe_unused]] const auto row = [=](auto tag, std::size_t m) QOMPOSE_FLATTEN {
      return hn::LoadU(tag, reinterpret_cast<const std::int32_t*>(rows) + m * apart);
    };
    auto* out = reinterpret_cast<std::int32_t*>(tile);
    [[maybe_unused]] const DW d;
    [[maybe_unused]] const DQ quad;
    if constexpr (kWidth == 2) {
      hn::StoreInterleaved2(row(d, 0), row(d, 1), d, out);
    } else if constexpr (kWidth == 4) {
      hn::StoreInterleaved4(row(d, 0), row(d, 1), row(d, 2), row(d, 3), d, out);
    } else if constexpr (kByEight) {
      for (std::size_t m = 0; m < kWidth; m += 8) {
        const auto both = [&](std::size_t k) QOMPOSE_FLATTEN {
          return hn::Combine(d, row(quad, m + k + 4), row(quad, m + k));
        };
        Transpose(d, both(0), both(1), both(2), both(3), out + m);
      }
    } else if constexpr (kBySix) {
      const auto both = [&](std::size_t k) QOMPOSE_FLATTEN {
        return hn::Combine(d, k < 2 ? row(quad, k + 4) : hn::Zero(quad), row(quad, k));
      };
      Transpose(d, both(0), both(1), both(2), both(3), out);
    } else if constexpr (kByFour) {
      for (std::size_t m = 0; m < kWidth; m += 4) {
        Transpose(quad, row(quad, m), row(quad, m + 1), row(quad, m + 2), row(quad, m + 3),
                  out + m);
      }
    } else {
      for (std::size_t c = 0; c < kWords; ++c) {
        for (std::size_t m = 0; m < kWidth; ++m) {
          std::memcpy(out + c * kWidth + m, rows + m * stride + 4 * c, sizeof(std::int32_t));
        }
      }
    }
  }

  /// Four columns of four rows, within each 128 bits, to four rows that are kWidth words apart.
  template <class D, class V>
  static HWY_INLINE void Transpose(D d, V a, V b, V c, V e, std::int32_t* out) {
    const hn::Repartition<std::int64_t, D> pairs;
    const auto store_row = [&](auto words, std::int32_t* at) QOMPOSE_FLATTEN {
      const V v = hn::BitCast(d, words);
      if constexpr (kBySix) {
        hn::StoreU(hn::LowerHalf(v), DQ(), at);
        hn::StoreU(hn::LowerHalf(hn::UpperHalf(DQ(), v)), hn::Half<DQ>(), at + 4);
      } else {
        hn::StoreU(v, d, at);
      }
    };
    const auto store = [&](V ab, V ce, std::int32_t* at) QOMPOSE_FLATTEN {
      const auto low = hn::BitCast(pairs, ab);
      const auto high = hn::BitCast(pairs, ce);
      store_row(hn::InterleaveLower(pairs, low, high), at);
      store_row(hn::InterleaveUpper(pairs, low, high), at + kWidth);
    };
    store(hn::InterleaveLower(d, a, b), hn::InterleaveLower(d, c, e), out);
    store(hn::InterleaveUpper(d, a, b), hn::InterleaveUpper(d, c, e), out + 2 * kWidth);
  }
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
