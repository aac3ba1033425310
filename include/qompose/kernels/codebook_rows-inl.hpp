// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Weights of codebooks that belong to rows, looked up in registers a row at a time.

#if defined(QOMPOSE_KERNELS_CODEBOOK_ROWS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_CODEBOOK_ROWS_INL_HPP_
#undef QOMPOSE_KERNELS_CODEBOOK_ROWS_INL_HPP_
#else
#define QOMPOSE_KERNELS_CODEBOOK_ROWS_INL_HPP_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "qompose/kernels/decode-inl.hpp"
#include "qompose/kernels/fields-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/transpose-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Columns of one row side by side, for layouts whose rows have tables of their own.
///
/// A vector of rows would need a load per weight, as each row has another table. A vector of
/// columns needs one table: its codes come from one word of the panel, broadcast by the load, of
/// which every lane shifts down its own code.
template <class Layout>
class CodebookRows {
  using Element = typename Layout::element;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
  static constexpr bool kIsPaired = true, kSuits = true;
#else
  static constexpr bool kIsPaired = false, kSuits = HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2;
#endif
  using Table = LookUp<Element::bits <= 4 ? Element::bits : 1>;

 public:
  static constexpr bool kExists =
      kSuits && Layout::is_learned && !Layout::is_shared && Element::bits <= 4;

  /// Columns [k, k + columns) of a panel from their codes, at most kMostColumns, all in one group.
  static constexpr std::size_t kMostColumns = 512;
  HWY_INLINE CodebookRows(const std::uint8_t* codes, std::size_t columns)
      : words_(codes),
        next_(codes + columns * Layout::column_bytes),
        steps_(divide_up(columns, N)) {
    if constexpr (Element::bits != 4) {
      Widen(codes, columns);
      words_ = nibbles_;
    }
    if constexpr (kIsPaired) {
      Pair(columns / 8);
      words_ = pairs_;
    }
  }

  /// sums[row][N lanes] += w x for all rows of the panel.
  /// @param x  numbers of all steps, so N more than there are columns at most
  HWY_INLINE void MultiplyAdd(const float* codebooks, const float* x, float* sums) const {
    // Rows that share a load of activations, and do not wait for each other's additions: as many as
    // have registers.
    constexpr std::size_t kRows = kIsPaired ? 8 : 4;
    // Codes are read in bursts, between which memory would have nothing to do.
    constexpr std::size_t kBytesAhead = N * Layout::column_bytes / (panel_rows / kRows);
    for (std::size_t r = 0; r < panel_rows; r += kRows) {
      const auto table = Tables(codebooks, r, std::make_index_sequence<kRows>());
      VF sum[kRows];
      Unroll<kRows>([&](auto i) QOMPOSE_FLATTEN { sum[i] = hn::LoadU(DF(), sums + (r + i) * N); });
      for (std::size_t s = 0; s < steps_; ++s) {
        const VF xs = hn::LoadU(DF(), x + s * N);
        hwy::Prefetch(next_ + kBytesToAskAhead + (r / kRows * steps_ + s) * kBytesAhead);
        Unroll<kRows>([&](auto i) QOMPOSE_FLATTEN {
          sum[i] = hn::MulAdd(table[i].template At<0>(Codes(s, r + i)), xs, sum[i]);
        });
      }
      Unroll<kRows>([&](auto i) QOMPOSE_FLATTEN { hn::StoreU(sum[i], DF(), sums + (r + i) * N); });
    }
  }

  /// Values to [columns][16 rows].
  HWY_INLINE void Decode(const float* codebooks, std::size_t columns, float* out) const {
    for (std::size_t s = 0; s < steps_; ++s) {
      for (std::size_t part = 0; part < kParts; ++part) {
        VF values[N];
        Unroll<N>([&](auto i) QOMPOSE_FLATTEN {
          const std::size_t r = part * N + i;
          values[i] = TableOf(codebooks, r).template At<0>(Codes(s, r));
        });
        Transpose(values);
        const std::size_t left = columns - s * N;
        Unroll<N>([&](auto i) QOMPOSE_FLATTEN {
          // A last pair may be half a pair.
          if (i < 8 || i < left)
            hn::StoreU(values[i], DF(), out + (s * N + i) * panel_rows + part * N);
        });
      }
    }
  }

 private:
  static constexpr std::size_t kMostBlocks = kMostColumns / 8;

  static HWY_INLINE Table TableOf(const float* codebooks, std::size_t row) {
    return Table(codebooks + row * Layout::codebook_floats);
  }

  /// Those of rows [row, row + sizeof...(i)).
  template <std::size_t... i>
  static HWY_INLINE std::array<Table, sizeof...(i)> Tables(const float* codebooks, std::size_t row,
                                                           std::index_sequence<i...>) {
    return {TableOf(codebooks, row + i)...};
  }

  /// Codes of N columns of a row in the low bits of lanes; above are others.
  [[nodiscard]] HWY_INLINE VI Codes(std::size_t step, std::size_t row) const {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
    long long both;
    std::memcpy(&both, words_ + step * 128 + row * 8, sizeof(both));
    return hn::Shr(VI{_mm512_set1_epi64(both)}, hn::Load(DI(), kShifts.data()));
#elif HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
    std::int32_t word;
    std::memcpy(&word, words_ + step * 64 + row * 4, sizeof(word));
    return VI{_mm256_srlv_epi32(_mm256_set1_epi32(word), hn::Load(DI(), kShifts.data()).raw)};
#else
    (void)step, (void)row;
    return hn::Zero(DI());
#endif
  }

  /// Fields to words as those of 4 bits have: columns k and k + 4 in the nibbles of byte k.
  HWY_INLINE void Widen(const std::uint8_t* unit, std::size_t columns) {
    std::uint8_t* to = nibbles_;
    for (std::size_t k = 0; k < columns; k += Layout::step) {
      Unroll<Layout::step / 8>([&](auto pair) QOMPOSE_FLATTEN {
        constexpr std::size_t kQuad = 2 * decltype(pair)::value;
        for (std::size_t part = 0; part < kParts; ++part) {
          const UBytes low = Fields<Layout>::template Get<kQuad>(unit, part);
          const UBytes high = Fields<Layout>::template Get<kQuad + 1>(unit, part);
          StoreBytes(OrBytes(low, ShiftAndMask<-4, 0xF0>(high)), to + part * 4 * N);
        }
        to += 64;
      });
      unit += Fields<Layout>::kUnitBytes;
    }
  }

  /// Words of two blocks to pairs of words, one of the even columns and one of the odd ones, so
  /// that a load of 64 bits broadcasts to 16 lanes the codes of as many columns.
  HWY_INLINE void Pair([[maybe_unused]] std::size_t blocks) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
    const __m512i first = _mm512_load_si512(kPairing.data());
    const __m512i second = _mm512_add_epi8(first, _mm512_set1_epi8(32));
    for (std::size_t b = 0; b < blocks; b += 2) {
      const __m512i even = _mm512_loadu_si512(words_ + b * 64);
      const __m512i odd =
          b + 1 < blocks ? _mm512_loadu_si512(words_ + b * 64 + 64) : _mm512_setzero_si512();
      _mm512_store_si512(pairs_ + b * 64, _mm512_permutex2var_epi8(even, first, odd));
      _mm512_store_si512(pairs_ + b * 64 + 64, _mm512_permutex2var_epi8(even, second, odd));
    }
#endif
  }

  /// Where lane c finds its code: in the word of its pair, or in the only one.
  alignas(64) static constexpr auto kShifts = [] {
    std::array<std::int32_t, N> shifts{};
    for (std::size_t c = 0; c < N; ++c) {
      const std::size_t byte = kIsPaired ? c / 8 * 2 + c % 4 / 2 : c % 4;
      shifts[c] = static_cast<std::int32_t>(8 * byte + 4 * (c / 4 % 2));
    }
    return shifts;
  }();
  /// Which bytes of two blocks make the pairs of rows 0 to 7.
  alignas(64) static constexpr auto kPairing = [] {
    std::array<std::uint8_t, 64> bytes{};
    for (std::size_t i = 0; i < 64; ++i) {
      const std::size_t word = i % 8 / 4, block = i % 4 / 2, byte = 2 * (i % 2) + word;
      bytes[i] = static_cast<std::uint8_t>(block * 64 + i / 8 * 4 + byte);
    }
    return bytes;
  }();

  const std::uint8_t* words_;
  const std::uint8_t* next_;
  std::size_t steps_;
  alignas(64) std::uint8_t nibbles_[Element::bits != 4 ? kMostBlocks * 64 : 1];
  alignas(64) std::uint8_t pairs_[kIsPaired ? kMostBlocks * 64 : 1];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
