// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief The same as wide_matmul-inl.hpp for codebooks that belong to rows.

#if defined(QOMPOSE_KERNELS_WIDE_ROWS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_WIDE_ROWS_INL_HPP_
#undef QOMPOSE_KERNELS_WIDE_ROWS_INL_HPP_
#else
#define QOMPOSE_KERNELS_WIDE_ROWS_INL_HPP_
#endif

#include <hwy/cache_control.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "qompose/formats/fp16.hpp"
#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/panel_access-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/wide_sums-inl.hpp"
#include "qompose/packing/wide_image.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Whether rows with codebooks of their own suit: a table serves the 16 bytes of 128 bits, so these
/// hold 32 codes of one row, and making tables must pay.
template <class Layout>
constexpr bool kHasWideRows = [] {
  if constexpr (Layout::is_learned && !Layout::is_shared) {
    return (kWideAsPlanes || kWideAsWords) && Layout::element::bits == 4 &&
           std::is_same_v<typename Layout::element::entry, fp16> &&
           Layout::most_group_columns >= 512 && Layout::most_group_columns % 32 == 0;
  } else {
    return false;
  }
}();

template <class Layout, class = void>
struct WideRows {
  static constexpr bool kExists = false;
};

#if !QOMPOSE_PLAIN_TARGET
/// Columns whose codes of a row are 16 bytes: byte j has those of columns 8 (j / 4) + j % 4 and of
/// the fourth after that.
constexpr std::size_t kChunkColumns = 32;

/// Digits of a token for rows: chunks of columns, of which low and high nibbles follow each other.
/// Planes are [nibble][digit][16 bytes]; words [nibble][half][A, B][8 words], [nibble][16 bytes].
struct RowTile {
  static constexpr std::size_t kChunkBytes = kWideAsPlanes ? 96 : 160;

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
        if constexpr (kWideAsPlanes) {
          std::memcpy(tile + nibble * 48, ordered, 48);
        } else {
          Words(ordered, reinterpret_cast<std::int16_t*>(tile + nibble * 64));
          std::memcpy(tile + 128 + nibble * 16, ordered[2], 16);
        }
      }
    }
  }

 private:
  static HWY_INLINE void Words(const std::int8_t (&digits)[3][16], std::int16_t* out) {
    const hn::Rebind<std::int16_t, DF> half;
    for (std::size_t i = 0; i < 16; i += N) {
      const VI low = hn::Add(LoadCodes(digits[0] + i), hn::ShiftLeft<8>(LoadCodes(digits[1] + i)));
      const VI all = hn::Add(low, hn::ShiftLeft<16>(LoadCodes(digits[2] + i)));
      const VI a = hn::ShiftRight<12>(hn::Add(all, hn::Set(DI(), 2048)));
      std::int16_t* to = out + i / 8 * 16 + i % 8;
      hn::StoreU(hn::DemoteTo(half, a), half, to);
      hn::StoreU(hn::DemoteTo(half, hn::Sub(all, hn::ShiftLeft<12>(a))), half, to + 8);
    }
  }
};

/// 16 bytes to every 128 bits.
HWY_INLINE Bytes LoadBlock(const std::int8_t* p) { return hn::LoadDup128(DI8(), p); }

/// Sums of the products of codes with one token, for as many rows as a vector has blocks; as
/// WideSums.
template <bool kAsPlanes>
class RowSumsAs {
  using Product = Dot<255>;

 public:
  static constexpr std::size_t kTables = 3;
  static constexpr float kUnit = 65536.0f;
  static constexpr int kCorrection = Product::kShift - 128;
  static constexpr std::size_t kMostChunks = 16;

  /// Table t of an integer.
  template <std::size_t t>
  static HWY_INLINE VI TableByte(VI integer) {
    return hn::ShiftRight<8 * t>(hn::Add(integer, hn::Set(DI(), 0x808080)));
  }
  HWY_INLINE explicit RowSumsAs(const std::uint8_t* tables) {
    Unroll<kTables>([&](auto t) QOMPOSE_FLATTEN { table_[t] = LoadBytes(tables + t * 4 * N); });
    Unroll<9>([&](auto i) QOMPOSE_FLATTEN { sum_[i] = hn::Zero(DI()); });
  }
  template <std::size_t nibble>
  HWY_INLINE void Add(UBytes fields, const std::int8_t* x) {
    Bytes codes[3];
    Unroll<3>([&](auto d) QOMPOSE_FLATTEN { codes[d] = LoadBlock(x + nibble * 48 + d * 16); });
    Unroll<3>([&](auto p) QOMPOSE_FLATTEN {
      const typename Product::Weights digits =
          Product::Prepare(hn::TableLookupBytes(table_[p], fields));
      Unroll<3>([&](auto d) QOMPOSE_FLATTEN {
        if constexpr (p + d >= 2) Product::Add(sum_[p * 3 + d], digits, codes[d]);
      });
    });
  }
  /// @param corrections  in the first lane of each block
  HWY_INLINE VF Total(VI c0, VI c1, VI c2) const {
    const VI first = hn::Add(hn::Add(sum_[2], sum_[4]), hn::Add(sum_[6], hn::Add(c0, c1)));
    const VI second = hn::Add(hn::Add(sum_[5], sum_[7]), hn::Add(c1, c2));
    const VI third = hn::Add(sum_[8], c2);
    VF value = hn::ConvertTo(DF(), hn::Add(first, c2));
    value = hn::MulAdd(hn::ConvertTo(DF(), second), hn::Set(DF(), 256.0f), value);
    return hn::MulAdd(hn::ConvertTo(DF(), third), hn::Set(DF(), 65536.0f), value);
  }
  HWY_INLINE void Flush(VF&) {}

 private:
  UBytes table_[kTables];
  VI sum_[9];
};
#if HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3
template <>
class RowSumsAs<false> {
 public:
  static constexpr std::size_t kTables = 3;
  static constexpr float kUnit = 128.0f;
  static constexpr int kCorrection = -64;
  /// A lane has a quarter of their columns, products of 15 and 11 bits.
  static constexpr std::size_t kMostChunks = 4;

  template <std::size_t t>
  static HWY_INLINE VI TableByte(VI integer) {
    const VI word = hn::ShiftRight<7>(hn::Add(integer, hn::Set(DI(), 64)));
    if constexpr (t == 0) return word;
    if constexpr (t == 1) return hn::ShiftRight<8>(word);
    return hn::Add(hn::Sub(integer, hn::ShiftLeft<7>(word)), hn::Set(DI(), 64));
  }
  HWY_INLINE explicit RowSumsAs(const std::uint8_t* tables)
      : low_(LoadBytes(tables)),
        high_(LoadBytes(tables + 4 * N)),
        table_(LoadBytes(tables + 8 * N)) {}
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
    AddPairs(rest_,
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
  HWY_INLINE VF Total(VI, VI, VI correction) const {
    return hn::Mul(hn::ConvertTo(DF(), hn::Add(rest_, correction)), hn::Set(DF(), 512.0f));
  }

 private:
  UBytes low_, high_, table_;
  VI a_ = hn::Zero(DI());
  VI b_ = hn::Zero(DI());
  VI rest_ = hn::Zero(DI());
};
#endif
using RowSums = RowSumsAs<kWideAsPlanes>;

/// One token, cut into @ref Digits, and rows with tables of 16 entries each.
///
/// A stretch of a panel's codes is transposed, so that 128 bits hold codes of one row, then each
/// set of rows, as many as a vector has blocks, runs along it with its tables in registers.
template <class Layout>
struct WideRows<Layout, std::enable_if_t<kHasWideRows<Layout>>> : PanelAccess<Layout> {
  using Access = PanelAccess<Layout>;
  using Arguments = detail::matmul_arguments;
  static_assert(!Layout::is_scaled && !Layout::has_offset);

  static constexpr bool kExists = true;
  static constexpr bool kInteger = true;
  static constexpr bool kHasOffset = false;
  static constexpr std::size_t kDigits = 3;
  static constexpr std::size_t kCodeBytes = 8;
  /// Of eight columns in a tile: enough where a chunk has no more.
  static constexpr std::size_t kOctetBytes = (RowTile::kChunkBytes + kDigits - 1) / kDigits;
  static constexpr int kCorrection = RowSums::kCorrection;
  static constexpr float kCodeFactor = 1.0f;
  using Tile = RowTile;

  static constexpr std::size_t TileTokens(std::size_t) { return kDigits; }
  template <class F>
  static HWY_INLINE void WithTile(std::size_t, F&& f) {
    f(std::integral_constant<std::size_t, kDigits>());
  }
  static void Run(const Arguments& a, std::size_t first, std::size_t last) {
    for (std::size_t p = first; p < last; ++p) Panel(a, p);
  }

 private:
  static constexpr std::size_t kBlocks = N / 4;
  static constexpr std::size_t kSets = panel_rows / kBlocks;
  static constexpr std::size_t kStretchChunks = 16;
  /// The row of block b of set s.
  static constexpr std::size_t RowOf(std::size_t s, std::size_t b) {
    return s / 4 * N + b * 4 + s % 4;
  }

  struct Tables {
    alignas(64) std::uint8_t set[kSets][RowSums::kTables * 4 * N];
    float unit[panel_rows];
  };
  /// The integers of 16 rows of 16 entries.
  static HWY_INLINE void MakeTables(const float* codebooks, Tables& tables) {
    for (std::size_t s = 0; s < kSets; ++s) {
      for (std::size_t b = 0; b < kBlocks; ++b) {
        const float* entries = codebooks + RowOf(s, b) * 16;
        VF most = hn::Abs(hn::LoadU(DF(), entries));
        for (std::size_t i = N; i < 16; i += N) {
          most = hn::Max(most, hn::Abs(hn::LoadU(DF(), entries + i)));
        }
        const float largest = hn::GetLane(hn::MaxOfLanes(DF(), most));
        constexpr auto kMost = static_cast<float>(detail::largest_wide_integer);
        const VF factor = hn::Set(DF(), largest > 0.0f ? kMost / largest : 0.0f);
        tables.unit[RowOf(s, b)] = largest / kMost;
        for (std::size_t i = 0; i < 16; i += N) {
          const VI integers = hn::NearestInt(hn::Mul(hn::LoadU(DF(), entries + i), factor));
          Unroll<RowSums::kTables>([&](auto t) QOMPOSE_FLATTEN {
            const hn::Rebind<std::uint32_t, DF> word;
            const hn::Rebind<std::uint8_t, DF> byte;
            const VI low = hn::And(RowSums::template TableByte<t>(integers), hn::Set(DI(), 255));
            hn::StoreU(hn::U8FromU32(hn::BitCast(word, low)), byte,
                       tables.set[s] + t * 4 * N + b * 16 + i);
          });
        }
      }
    }
  }

  /// Codes of a stretch to [chunk][set][a vector], 0 past its end.
  static HWY_INLINE void Transpose(const std::uint8_t* w, std::size_t columns, std::uint8_t* out) {
    const hn::Repartition<std::int64_t, DF> pairs;
    for (std::size_t k = 0; k < columns; k += kChunkColumns, w += 256) {
      Unroll<kParts>([&](auto part) QOMPOSE_FLATTEN {
        VI words[4];
        Unroll<4>([&](auto i) QOMPOSE_FLATTEN {
          words[i] =
              k + 8 * i < columns ? AsWords(LoadBytes(w + i * 64 + part * 4 * N)) : hn::Zero(DI());
        });
        const auto low = [&](std::size_t i) QOMPOSE_FLATTEN {
          return hn::BitCast(pairs, hn::InterleaveLower(DI(), words[i], words[i + 1]));
        };
        const auto high = [&](std::size_t i) QOMPOSE_FLATTEN {
          return hn::BitCast(pairs, hn::InterleaveUpper(DI(), words[i], words[i + 1]));
        };
        const auto store = [&](auto v, std::size_t i) QOMPOSE_FLATTEN {
          StoreBytes(hn::BitCast(DU8(), v), out + (part * 4 + i) * 4 * N);
        };
        store(hn::InterleaveLower(pairs, low(0), low(2)), 0);
        store(hn::InterleaveUpper(pairs, low(0), low(2)), 1);
        store(hn::InterleaveLower(pairs, high(0), high(2)), 2);
        store(hn::InterleaveUpper(pairs, high(0), high(2)), 3);
      });
      out += 256;
    }
  }

  /// Chunk i of set s, step `step` of the stretch.
  /// @param next  the codes of the next stretch, which are read in bursts, between which memory
  /// would
  ///              have nothing to do
  static HWY_INLINE void AddChunk(RowSums& sums, const std::uint8_t* codes, const std::int8_t* x,
                                  const std::uint8_t* next, std::size_t s, std::size_t i,
                                  std::size_t step) {
    hwy::Prefetch(next + kBytesToAskAhead + step * (256 / kSets));
    const UBytes fields = LoadBytes(codes + (i * kSets + s) * 4 * N);
    sums.template Add<0>(ShiftAndMask<0, 15>(fields), x + i * RowTile::kChunkBytes);
    sums.template Add<1>(ShiftAndMask<4, 15>(fields), x + i * RowTile::kChunkBytes);
  }

  static HWY_NOINLINE void Panel(const Arguments& shared, std::size_t p) {
    const Arguments a = shared;  // a copy, which stores of sums cannot change
    alignas(64) std::uint8_t codes[kStretchChunks * 256];
    alignas(64) float lanes[panel_rows][4];
    float rows[panel_rows] = {};
    Tables tables;
    for (std::size_t g = 0; g < a.geometry.groups; ++g) {
      const std::size_t begin = g * a.geometry.group_stride;
      const std::size_t end = begin + Access::GroupColumns(a, g);
      MakeTables(Access::Codebooks(a, p, g), tables);
      VF total[kSets];
      Unroll<kSets>([&](auto s) QOMPOSE_FLATTEN { total[s] = hn::Zero(DF()); });
      for (std::size_t k = begin; k < end; k += kStretchChunks * kChunkColumns) {
        const std::size_t columns = std::min(kStretchChunks * kChunkColumns, end - k);
        const std::size_t chunks = divide_up(columns, kChunkColumns);
        const std::uint8_t* w = Access::Codes(a, p, k, g);
        Transpose(w, columns, codes);
        // Corrections once a group.
        const std::int32_t* corrections = a.x.corrections + g * kDigits;
        const auto correction = [&](std::size_t d) QOMPOSE_FLATTEN {
          return FirstOfBlocks(k == begin ? corrections[d] : 0);
        };
        const auto* x = reinterpret_cast<const std::int8_t*>(a.x.values) +
                        k / kChunkColumns * RowTile::kChunkBytes;
        for (std::size_t s = 0; s < kSets; ++s) {
          RowSums sums(tables.set[s]);
          VF part = hn::Zero(DF());
          for (std::size_t c = 0; c < chunks; c += RowSums::kMostChunks) {
            const std::size_t stop = std::min(chunks, c + RowSums::kMostChunks);
            std::size_t i = c;
            if constexpr (kWideAsPlanes) {
              // Short loops would spend their time on moving their many sums between registers.
              for (; i + 4 <= stop; i += 4) {
                Unroll<4>([&](auto j) QOMPOSE_FLATTEN {
                  AddChunk(sums, codes, x, w + chunks * 256, s, i + j, s * chunks + i + j);
                });
              }
            }
            for (; i < stop; ++i) AddChunk(sums, codes, x, w + chunks * 256, s, i, s * chunks + i);
            sums.Flush(part);
          }
          part = hn::Add(part, sums.Total(correction(0), correction(1), correction(2)));
          total[s] = hn::Add(total[s], part);
        }
      }
      alignas(64) float all[N];
      for (std::size_t s = 0; s < kSets; ++s) {
        hn::Store(total[s], DF(), all);
        for (std::size_t b = 0; b < kBlocks; ++b) std::copy_n(all + b * 4, 4, lanes[RowOf(s, b)]);
      }
      for (std::size_t r = 0; r < panel_rows; ++r) {
        const float sum = (lanes[r][0] + lanes[r][1]) + (lanes[r][2] + lanes[r][3]);
        rows[r] += sum * tables.unit[r];
      }
    }
    const VF factor = hn::Set(DF(), RowSums::kUnit);
    const VF scale = hn::Set(DF(), a.x.scales[0]);
    Each<kParts>([&](auto v) QOMPOSE_FLATTEN {
      const VF value = hn::Mul(hn::Mul(hn::LoadU(DF(), rows + v * N), factor), scale);
      Access::Finish(a, 0, p * panel_rows + v * N, value);
    });
  }
  /// A number in the first lane of each 128 bits.
  static HWY_INLINE VI FirstOfBlocks(std::int32_t number) {
    alignas(64) static constexpr std::int32_t kFirst[16] = {-1, 0, 0, 0, -1, 0, 0, 0,
                                                            -1, 0, 0, 0, -1, 0, 0, 0};
    return hn::And(hn::Set(DI(), number), hn::Load(DI(), kFirst));
  }
};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
