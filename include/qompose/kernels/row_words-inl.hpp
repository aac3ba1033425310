// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Rows with tables of their own times one token, where dot products are of 16 bits.

#if defined(QOMPOSE_KERNELS_ROW_WORDS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ROW_WORDS_INL_HPP_
#undef QOMPOSE_KERNELS_ROW_WORDS_INL_HPP_
#else
#define QOMPOSE_KERNELS_ROW_WORDS_INL_HPP_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/dot-inl.hpp"
#include "qompose/kernels/row_tables-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/transpose-inl.hpp"

#if HWY_ARCH_X86 && !QOMPOSE_PLAIN_TARGET && HWY_TARGET > HWY_AVX3
QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Codes of 4 bits whose integers are words of 16 bits and 7 bits below, as in WideSums.
///
/// A stretch of a panel's codes is transposed, so that 128 bits hold codes of one row, then each
/// set of rows runs along it with its tables in registers.
template <class Layout>
class RowWords {
  static_assert(Layout::element::bits == 4);

 public:
  /// Columns whose codes of a row are 16 bytes: byte j has those of columns 8 (j / 4) + j % 4 and
  /// of the fourth after that.
  static constexpr std::size_t kChunkColumns = 32;
  static constexpr std::size_t kStretchColumns = 16 * kChunkColumns;
  static constexpr float kUnit = 128.0f;
  static constexpr int kCorrection = -64;

  /// Low and high bytes of words, and the lowest bits.
  static HWY_INLINE VI ToBytes(VI integers) {
    const VI word = hn::ShiftRight<7>(hn::Add(integers, hn::Set(DI(), 64)));
    const VI rest = hn::Add(hn::Sub(integers, hn::ShiftLeft<7>(word)), hn::Set(DI(), 64));
    return hn::Or(hn::And(word, hn::Set(DI(), 0xFFFF)), hn::ShiftLeft<16>(rest));
  }

  /// Digits of a token, chunk by chunk, of which the columns of low and of high nibbles follow each
  /// other: [nibble][half][A, B][8 words], where 4096 A + B is the number, and highest digits,
  /// [nibble][16 bytes].
  struct Tile {
    static constexpr std::size_t kChunkBytes = 160;

    /// As InterleaveCodes, but for one group.
    static HWY_INLINE void Run(const std::int8_t* rows, std::size_t stride, std::size_t count,
                               std::size_t, std::int8_t* tile) {
      for (std::size_t c = 0; c < count; c += kChunkColumns, tile += kChunkBytes) {
        std::int8_t digits[3][kChunkColumns] = {};
        for (std::size_t d = 0; d < 3; ++d) {
          std::memcpy(digits[d], rows + d * stride + c, std::min(kChunkColumns, count - c));
        }
        for (std::size_t nibble = 0; nibble < 2; ++nibble) {
          std::int8_t ordered[3][16];
          for (std::size_t d = 0; d < 3; ++d) {
            for (std::size_t j = 0; j < 16; j += 4) {
              std::memcpy(ordered[d] + j, digits[d] + 2 * j + 4 * nibble, 4);
            }
          }
          Words(ordered, reinterpret_cast<std::int16_t*>(tile + nibble * 64));
          std::memcpy(tile + 128 + nibble * 16, ordered[2], 16);
        }
      }
    }

   private:
    static HWY_INLINE void Words(const std::int8_t (&digits)[3][16], std::int16_t* out) {
      const hn::Rebind<std::int16_t, DF> half;
      for (std::size_t i = 0; i < 16; i += N) {
        const VI low =
            hn::Add(LoadCodes(digits[0] + i), hn::ShiftLeft<8>(LoadCodes(digits[1] + i)));
        const VI all = hn::Add(low, hn::ShiftLeft<16>(LoadCodes(digits[2] + i)));
        const VI a = hn::ShiftRight<12>(hn::Add(all, hn::Set(DI(), 2048)));
        std::int16_t* to = out + i / 8 * 16 + i % 8;
        hn::StoreU(hn::DemoteTo(half, a), half, to);
        hn::StoreU(hn::DemoteTo(half, hn::Sub(all, hn::ShiftLeft<12>(a))), half, to + 8);
      }
    }
  };

  /// As RowPlanes.
  static HWY_INLINE void Add(const RowTables& tables, const std::uint8_t* w, std::size_t columns,
                             const std::int8_t* x, const std::int32_t* corrections,
                             VF (&total)[kRowSets]) {
    const std::size_t chunks = divide_up(columns, kChunkColumns);
    alignas(64) std::uint8_t codes[kStretchColumns / kChunkColumns * kCodeBytes];
    Transpose(w, columns, codes);
    const VI correction = FirstOfBlocks(corrections[2]);
    for (std::size_t s = 0; s < kRowSets; ++s) {
      Sums sums(tables.tables[s]);
      VF part = hn::Zero(DF());
      for (std::size_t c = 0; c < chunks; c += kMostChunks) {
        for (std::size_t i = c; i < std::min(chunks, c + kMostChunks); ++i) {
          AddChunk(sums, codes, x, w + chunks * kCodeBytes, s, i, s * chunks + i);
        }
        sums.Flush(part);
      }
      total[s] = hn::Add(total[s], hn::Add(part, sums.Rest(correction)));
    }
  }

 private:
  /// Codes of a chunk.
  static constexpr std::size_t kCodeBytes = kChunkColumns * Layout::column_bytes;
  /// As many as 32 bits hold: a lane has a quarter of their columns, products of 15 and 11 bits.
  static constexpr std::size_t kMostChunks = 4;

  /// Tables and sums of one set.
  class Sums {
   public:
    HWY_INLINE explicit Sums(const std::uint8_t (&tables)[3][4 * N])
        : low_(LoadBytes(tables[0])), high_(LoadBytes(tables[1])), table_(LoadBytes(tables[2])) {}
    template <std::size_t nibble>
    HWY_INLINE void Add(UBytes fields, const std::int8_t* x) {
      const UBytes low = hn::TableLookupBytes(low_, fields);
      const UBytes high = hn::TableLookupBytes(high_, fields);
      const auto words = [&](std::size_t at) QOMPOSE_FLATTEN {
        return hn::BitCast(DI16(), LoadBlock(x + nibble * 64 + at * 16));
      };
      const Pairs first = hn::BitCast(DI16(), hn::InterleaveLower(DU8(), low, high));
      const Pairs second = hn::BitCast(DI16(), hn::InterleaveUpper(DU8(), low, high));
      AddPairs(a_, first, words(0));
      AddPairs(b_, first, words(1));
      AddPairs(a_, second, words(2));
      AddPairs(b_, second, words(3));
      AddPairs(
          rest_,
          MultiplyBytes(hn::TableLookupBytes(table_, fields), LoadBlock(x + 128 + nibble * 16)),
          hn::Set(DI16(), std::int16_t{1}));
    }
    /// The words' sums move to `total`.
    HWY_INLINE void Flush(VF& total) {
      total = hn::Add(total, hn::MulAdd(hn::ConvertTo(DF(), a_), hn::Set(DF(), 4096.0f),
                                        hn::ConvertTo(DF(), b_)));
      a_ = hn::Zero(DI());
      b_ = hn::Zero(DI());
    }
    /// What the lowest bits add to them.
    HWY_INLINE VF Rest(VI correction) const {
      return hn::Mul(hn::ConvertTo(DF(), hn::Add(rest_, correction)), hn::Set(DF(), 512.0f));
    }

   private:
    UBytes low_, high_, table_;
    VI a_ = hn::Zero(DI());
    VI b_ = hn::Zero(DI());
    VI rest_ = hn::Zero(DI());
  };

  /// Codes of a stretch to [chunk][set][a vector], 0 past its end.
  static HWY_INLINE void Transpose(const std::uint8_t* w, std::size_t columns, std::uint8_t* out) {
    for (std::size_t k = 0; k < columns; k += kChunkColumns, w += kCodeBytes, out += kCodeBytes) {
      Unroll<kParts>([&](auto part) QOMPOSE_FLATTEN {
        VI words[4];
        Unroll<4>([&](auto i) QOMPOSE_FLATTEN {
          words[i] =
              k + 8 * i < columns ? AsWords(LoadBytes(w + i * 64 + part * 4 * N)) : hn::Zero(DI());
        });
        TransposeBlocks(DI(), words);
        Unroll<4>([&](auto i) QOMPOSE_FLATTEN {
          StoreBytes(hn::BitCast(DU8(), words[i]), out + (part * 4 + i) * 4 * N);
        });
      });
    }
  }

  /// Chunk i of set s, step `step` of the stretch.
  /// @param next  the codes of the next stretch, which are read in bursts, between which memory
  ///              would have nothing to do
  static HWY_INLINE void AddChunk(Sums& sums, const std::uint8_t* codes, const std::int8_t* x,
                                  const std::uint8_t* next, std::size_t s, std::size_t i,
                                  std::size_t step) {
    hwy::Prefetch(next + kBytesToAskAhead + step * (kCodeBytes / kRowSets));
    const UBytes fields = LoadBytes(codes + (i * kRowSets + s) * 4 * N);
    sums.template Add<0>(ShiftAndMask<0, 15>(fields), x + i * Tile::kChunkBytes);
    sums.template Add<1>(ShiftAndMask<4, 15>(fields), x + i * Tile::kChunkBytes);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();
#endif

#endif  // toggle
