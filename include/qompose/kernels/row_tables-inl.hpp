// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Codebooks that belong to rows as tables of integers, for lookups of bytes.

#if defined(QOMPOSE_KERNELS_ROW_TABLES_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ROW_TABLES_INL_HPP_
#undef QOMPOSE_KERNELS_ROW_TABLES_INL_HPP_
#else
#define QOMPOSE_KERNELS_ROW_TABLES_INL_HPP_
#endif

#include <cstddef>
#include <cstdint>

#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/transpose-inl.hpp"
#include "qompose/packing/wide_image.hpp"

#if !QOMPOSE_PLAIN_TARGET
QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// The 16 rows of a panel are sets of as many rows as a vector has blocks of 128 bits, the reach of
/// a lookup of bytes: block b of set s has row s / 4 * N + b * 4 + s % 4.
constexpr std::size_t kRowBlocks = N / 4;
constexpr std::size_t kRowSets = panel_rows / kRowBlocks;

/// 16 bytes to every block.
HWY_INLINE Bytes LoadBlock(const std::int8_t* p) { return hn::LoadDup128(DI8(), p); }

/// A number in the first lane of each block.
HWY_INLINE VI FirstOfBlocks(std::int32_t number) {
  alignas(64) static constexpr std::int32_t kFirst[16] = {-1, 0, 0, 0, -1, 0, 0, 0,
                                                          -1, 0, 0, 0, -1, 0, 0, 0};
  return hn::And(hn::Set(DI(), number), hn::Load(DI(), kFirst));
}

/// The integers of the rows of a panel, each relative to the largest entry of its row, as three
/// tables of bytes.
struct RowTables {
  static constexpr std::size_t kCount = 3;

  alignas(64) std::uint8_t tables[kRowSets][kCount][4 * N];
  /// What an integer is worth, to every lane of a row's block.
  alignas(64) float units[kRowSets][N];

  /// @param codebooks  [16 rows][kEntries], all finite, magnitudes 0 or those of fp16
  /// @param to_bytes   the three bytes of integers of up to detail::largest_wide_integer, lowest
  ///                   first
  template <std::size_t kEntries, class ToBytes>
  HWY_INLINE void Make(const float* codebooks, ToBytes&& to_bytes) {
    static_assert(kEntries % 4 == 0 && kEntries <= 16);
    // Codebooks are a stream of their own.
    AskAhead<panel_rows * kEntries * sizeof(float)>(
        reinterpret_cast<const std::uint8_t*>(codebooks));
    for (std::size_t s = 0; s < kRowSets; ++s) {
      const float* first = codebooks + (s / 4 * N + s % 4) * kEntries;
      VF entries[kEntries / 4];
      VF most = hn::Zero(DF());
      Unroll<kEntries / 4>([&](auto q) QOMPOSE_FLATTEN {
        entries[q] = LoadBlocks(DF(), first + 4 * q, 4 * kEntries);
        most = hn::Max(most, hn::Abs(entries[q]));
      });
      most = hn::Max(most, hn::Shuffle2301(most));
      most = hn::Max(most, hn::Shuffle1032(most));
      const VF largest = hn::Set(DF(), static_cast<float>(detail::largest_wide_integer));
      hn::Store(hn::Div(most, largest), DF(), units[s]);

      // Rows of zeros divide by some number, and their integers, whose sums are rounded a lane at a
      // time, are worth nothing.
      const VF factor = hn::Div(largest, hn::Max(most, hn::Set(DF(), 0x1p-104f)));
      alignas(16) static constexpr std::uint8_t kByTable[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                                2, 6, 10, 14, 3, 7, 11, 15};
      const UBytes by_table = hn::LoadDup128(DU8(), kByTable);
      VI bytes[4] = {hn::Zero(DI()), hn::Zero(DI()), hn::Zero(DI()), hn::Zero(DI())};
      Unroll<kEntries / 4>([&](auto q) QOMPOSE_FLATTEN {
        const VI integers = hn::NearestInt(hn::Mul(entries[q], factor));
        bytes[q] = AsWords(hn::TableLookupBytes(hn::BitCast(DU8(), to_bytes(integers)), by_table));
      });
      TransposeBlocks(DI(), bytes);
      Unroll<kCount>(
          [&](auto t) QOMPOSE_FLATTEN { StoreBytes(hn::BitCast(DU8(), bytes[t]), tables[s][t]); });
    }
  }

  /// A vector of rows, `part` of the panel, of the sums of all sets, of which blocks hold four.
  HWY_INLINE VF Values(const VF* sums, std::size_t part) const {
    const hn::Repartition<std::int64_t, DF> pairs;
    const VF* s = sums + 4 * part;
    // Lanes 0 + 1 and 2 + 3 of two sets.
    const auto add = [&](VF a, VF b) QOMPOSE_FLATTEN {
      return hn::BitCast(pairs,
                         hn::Add(hn::OddEven(hn::DupEven(b), a), hn::OddEven(b, hn::DupOdd(a))));
    };
    const auto both = [&](std::size_t set) QOMPOSE_FLATTEN {
      const float* unit = units[4 * part + set];
      return hn::BitCast(pairs, hn::OddEven(hn::Load(DF(), unit + N), hn::Load(DF(), unit)));
    };
    const auto low = add(s[0], s[1]);
    const auto high = add(s[2], s[3]);
    const VF sum = hn::Add(hn::BitCast(DF(), hn::InterleaveLower(pairs, low, high)),
                           hn::BitCast(DF(), hn::InterleaveUpper(pairs, low, high)));
    return hn::Mul(sum, hn::BitCast(DF(), hn::InterleaveLower(pairs, both(0), both(2))));
  }

 private:
  /// Four floats to each block, those of one `apart` from those of the block before.
  template <class D>
  static HWY_INLINE hn::Vec<D> LoadBlocks(D d, const float* p, std::size_t apart) {
    if constexpr (hn::MaxLanes(D()) == 4) {
      return hn::LoadU(d, p);
    } else {
      const hn::Half<D> half;
      const float* upper = p + hn::MaxLanes(half) / 4 * apart;
      return hn::Combine(d, LoadBlocks(half, upper, apart), LoadBlocks(half, p, apart));
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();
#endif

#endif  // toggle
