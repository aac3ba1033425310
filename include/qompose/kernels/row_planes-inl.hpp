// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Rows with tables of their own times one token, where four bytes are one dot product.

#if defined(QOMPOSE_KERNELS_ROW_PLANES_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ROW_PLANES_INL_HPP_
#undef QOMPOSE_KERNELS_ROW_PLANES_INL_HPP_
#else
#define QOMPOSE_KERNELS_ROW_PLANES_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "qompose/kernels/dot-inl.hpp"
#include "qompose/kernels/fields-inl.hpp"
#include "qompose/kernels/row_tables-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/transpose-inl.hpp"

#if !QOMPOSE_PLAIN_TARGET
QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Integers are three digits, raised by 128, a table each.
///
/// The codes of four units of a panel, a chunk, are transposed in registers, so that 128 bits hold
/// codes of one row: four columns of each unit. Two sets of rows at a time run along a stretch of
/// columns, which the next two find in L1: as many as have their tables and sums in registers, and
/// few would wait for their own products.
template <class Layout>
class RowPlanes {
  using Product = Dot<255>;
  static constexpr std::size_t kFields = Fields<Layout>::kQuads;
  static constexpr std::size_t kUnitBytes = Fields<Layout>::kUnitBytes;
  static constexpr std::size_t kUnitBlocks = kUnitBytes / 64;

 public:
  static constexpr std::size_t kChunkColumns = 4 * Layout::step;
  /// A third of L1 on the processors that were timed: fewer lose time at their ends.
  static constexpr std::size_t kStretchColumns = 16384 / (4 * kUnitBytes) * kChunkColumns;
  static constexpr float kUnit = 65536.0f;
  static constexpr int kCorrection = Product::kShift - 128;

  static HWY_INLINE VI ToBytes(VI integers) { return hn::Add(integers, hn::Set(DI(), 0x808080)); }

  /// Digits of a token, chunk by chunk: [quad of a unit's columns][digit][4 units][4 columns].
  struct Tile {
    static constexpr std::size_t kChunkBytes = kFields * RowTables::kCount * 16;

    /// As InterleaveCodes, but for one group.
    static HWY_INLINE void Run(const std::int8_t* rows, std::size_t stride, std::size_t count,
                               std::size_t, std::int8_t* tile) {
      for (std::size_t c = 0; c < count; c += kChunkColumns, tile += kChunkBytes) {
        if (count - c >= kChunkColumns) {
          Chunk(rows + c, stride, tile);
        } else {
          std::int8_t padded[3][kChunkColumns] = {};
          for (std::size_t d = 0; d < 3; ++d) {
            std::memcpy(padded[d], rows + d * stride + c, count - c);
          }
          Chunk(padded[0], kChunkColumns, tile);
        }
      }
    }

   private:
    static HWY_INLINE void Chunk(const std::int8_t* rows, std::size_t stride, std::int8_t* out) {
      for (std::size_t quad = 0; quad < kFields; ++quad) {
        for (std::size_t d = 0; d < 3; ++d, out += 16) {
          const std::int8_t* from = rows + d * stride + 4 * quad;
          for (std::size_t u = 0; u < 4; ++u) {
            std::memcpy(out + 4 * u, from + u * Layout::step, 4);
          }
        }
      }
    }
  };

  /// total[set] += sums of `columns` columns, at most kStretchColumns.
  /// @param w            their codes
  /// @param x            their digits
  /// @param corrections  of the three digits
  static HWY_INLINE void Add(const RowTables& tables, const std::uint8_t* w, std::size_t columns,
                             const std::int8_t* x, const std::int32_t* corrections,
                             VF (&total)[kRowSets]) {
    for (std::size_t part = 0; part < kParts; ++part) {
      AddSets<0>(tables, w, part, columns, x, corrections, total);
      AddSets<2>(tables, w, part, columns, x, corrections, total);
    }
  }

 private:
  /// Tables and sums of one set. Every product of two digits has sums of its own; those below 256^2
  /// are left out.
  class Sums {
   public:
    HWY_INLINE explicit Sums(const std::uint8_t (&tables)[3][4 * N]) {
      Unroll<3>([&](auto t) QOMPOSE_FLATTEN { table_[t] = LoadBytes(tables[t]); });
      Unroll<9>([&](auto i) QOMPOSE_FLATTEN { sum_[i] = hn::Zero(DI()); });
    }
    HWY_INLINE void Add(UBytes fields, const Bytes (&digits)[3]) {
      Unroll<3>([&](auto p) QOMPOSE_FLATTEN {
        const typename Product::Weights weights =
            Product::Prepare(hn::TableLookupBytes(table_[p], fields));
        Unroll<3>([&](auto d) QOMPOSE_FLATTEN {
          if constexpr (p + d >= 2) Multiply(sum_[p * 3 + d], weights, digits[d]);
        });
      });
    }
    HWY_INLINE VF Total(const std::int32_t* corrections) const {
      const VI c2 = FirstOfBlocks(corrections[2]);
      const VI c12 = FirstOfBlocks(corrections[1] + corrections[2]);
      const VI all = FirstOfBlocks(corrections[0] + corrections[1] + corrections[2]);
      const VI first = hn::Add(hn::Add(sum_[2], sum_[4]), hn::Add(sum_[6], all));
      const VI second = hn::Add(hn::Add(sum_[5], sum_[7]), c12);
      VF value = hn::ConvertTo(DF(), first);
      value = hn::MulAdd(hn::ConvertTo(DF(), second), hn::Set(DF(), 256.0f), value);
      return hn::MulAdd(hn::ConvertTo(DF(), hn::Add(sum_[8], c2)), hn::Set(DF(), 65536.0f), value);
    }

   private:
    /// Product::Add in this order, as what g++ makes of it takes Zen 5 5 % longer.
    template <class Weights>
    static HWY_INLINE void Multiply(VI& sum, Weights weights, Bytes digits) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL && HWY_COMPILER_GCC_ACTUAL
      asm volatile("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(weights.raw), "v"(digits.raw));
#else
      Product::Add(sum, weights, digits);
#endif
    }

    UBytes table_[3];
    VI sum_[9];
  };

  /// Four units, or the last few, for sets `first` and the next of a part.
  template <std::size_t first, class Count>
  static HWY_INLINE void AddChunk(Sums (&sums)[2], const std::uint8_t* w, Count units,
                                  const std::int8_t* x) {
    UBytes blocks[2][kUnitBlocks];
    Unroll<kUnitBlocks>([&](auto b) QOMPOSE_FLATTEN {
      VI words[4];
      Unroll<4>([&](auto u) QOMPOSE_FLATTEN {
        words[u] = u < units ? AsWords(LoadBytes(w + u * kUnitBytes + b * 64)) : hn::Zero(DI());
      });
      TransposeBlocks(DI(), words);
      Unroll<2>([&](auto s)
                    QOMPOSE_FLATTEN { blocks[s][b] = hn::BitCast(DU8(), words[first + s]); });
    });
    Unroll<kFields>([&](auto quad) QOMPOSE_FLATTEN {
      Bytes digits[3];
      Unroll<3>([&](auto d) QOMPOSE_FLATTEN { digits[d] = LoadBlock(x + (quad * 3 + d) * 16); });
      Unroll<2>([&](auto s) QOMPOSE_FLATTEN {
        const UBytes fields = Fields<Layout>::template From<decltype(quad)::value>(
            [&](std::size_t b) QOMPOSE_FLATTEN { return blocks[s][b]; });
        sums[s].Add(fields, digits);
      });
    });
  }

  template <std::size_t first>
  static HWY_INLINE void AddSets(const RowTables& tables, const std::uint8_t* w, std::size_t part,
                                 std::size_t columns, const std::int8_t* x,
                                 const std::int32_t* corrections, VF (&total)[kRowSets]) {
    const std::size_t set = 4 * part + first;
    Sums sums[2] = {Sums(tables.tables[set]), Sums(tables.tables[set + 1])};
    const std::uint8_t* at = w + part * 4 * N;
    // What the next stretch reads is asked for by all sets of this one.
    constexpr std::size_t kAhead =
        kBytesToAskAhead > 0 ? kStretchColumns * Layout::column_bytes : 0;
    constexpr std::size_t kAsked = 2 * 4 * kUnitBytes / kRowSets;
    const std::uint8_t* next = w + set / 2 * (columns / kChunkColumns) * kAsked;
    std::size_t k = 0;
    for (; k + kChunkColumns <= columns; k += kChunkColumns) {
      AskAhead<kAsked, kAhead>(next);
      next += kAsked;
      AddChunk<first>(sums, at, std::integral_constant<std::size_t, 4>(), x);
      at += 4 * kUnitBytes;
      x += Tile::kChunkBytes;
    }
    if (k < columns) AddChunk<first>(sums, at, (columns - k) / Layout::step, x);
    total[set] = hn::Add(total[set], sums[0].Total(corrections));
    total[set + 1] = hn::Add(total[set + 1], sums[1].Total(corrections));
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();
#endif

#endif  // toggle
