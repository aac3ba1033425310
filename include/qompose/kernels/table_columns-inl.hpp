// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Products of weights of one bit, looked up: four columns of a row choose one of the
///        sixteen sums that four codes have.

#if defined(QOMPOSE_KERNELS_TABLE_COLUMNS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_TABLE_COLUMNS_INL_HPP_
#undef QOMPOSE_KERNELS_TABLE_COLUMNS_INL_HPP_
#else
#define QOMPOSE_KERNELS_TABLE_COLUMNS_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/dot-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/transpose-inl.hpp"
#include "qompose/packing/integer_image.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// For how many tokens products of `Layout` are looked up. A lookup stands for four products of
/// weights of one bit, which pays where a dot product is several instructions and until tables,
/// eight bytes a code, leave the cache: beyond 24 tokens AVX2 multiplies faster.
template <class Layout>
constexpr std::size_t kMostTableTokens = [] {
#if QOMPOSE_PLAIN_TARGET || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3) || \
    defined(__ARM_FEATURE_DOTPROD)
  return std::size_t{0};
#else
  using Image = integer_image<typename Layout::element>;
  if (Layout::element::bits != 1 || !Image::exists || Image::table[0] != 0) return std::size_t{0};
  return HWY_TARGET == HWY_AVX2 ? std::size_t{24} : std::size_t{128};
#endif
}();

template <class Layout>
struct TableColumns;

#if !QOMPOSE_PLAIN_TARGET && !(HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3)

/// Which codes and entries make tables: columns c, c + 4, c + 8 and c + 12 of 16 share one, and a
/// vector has those of kBlocks neighbouring c.
struct TableOrders {
  static constexpr std::size_t kBlocks = 4 * N / 16;
  static constexpr std::size_t kPairs = 4 / kBlocks;

  std::uint8_t column[kPairs][4][4 * N] = {};
  std::uint8_t chosen[4][16] = {};  ///< 255 for the entries that a column is in

  constexpr TableOrders() {
    for (std::size_t q = 0; q < 4; ++q) {
      for (std::size_t entry = 0; entry < 16; ++entry) {
        chosen[q][entry] = (entry >> q & 1) != 0 ? 255 : 0;
      }
      for (std::size_t pair = 0; pair < kPairs; ++pair) {
        for (std::size_t i = 0; i < 4 * N; ++i) {
          column[pair][q][i] = static_cast<std::uint8_t>(pair * kBlocks + i / 16 + 4 * q);
        }
      }
    }
  }
};

/// The tables of 32 columns of a token, and in what order weights choose from them.
///
/// A code is 16 high + low with low in 0 .. 15, and a table holds the sums of four of one or the
/// other, so that bytes hold four entries added up, too. Sums of `high` are raised by kRaised to be
/// unsigned.
struct CodeTables {
  static constexpr std::size_t kColumns = 32;
  static constexpr int kRaised = 32;
  static constexpr TableOrders kOrders{};
  static constexpr std::size_t kPairs = TableOrders::kPairs;
  /// Vectors of tables: [kPairs][2 halves], for `low` and `high` each.
  static constexpr std::size_t kVectors = 2 * kPairs;
  static constexpr std::size_t kBytes = 2 * kVectors * 4 * N;

  /// @param codes  kColumns codes
  /// @param out    kBytes bytes
  static HWY_INLINE void Make(const std::int8_t* codes, std::uint8_t* out) {
    for (std::size_t half = 0; half < 2; ++half) {
      const UBytes bytes =
          hn::LoadDup128(DU8(), reinterpret_cast<const std::uint8_t*>(codes) + 16 * half);
      const UBytes low = ShiftAndMask<0, 15>(bytes);
      const UBytes sign = hn::Set(DU8(), std::uint8_t{8});
      const UBytes high = hn::Sub(hn::Xor(ShiftAndMask<4, 15>(bytes), sign), sign);
      for (std::size_t pair = 0; pair < kPairs; ++pair) {
        const auto sums = [&](UBytes of) QOMPOSE_FLATTEN {
          const auto term = [&](std::size_t q) QOMPOSE_FLATTEN {
            return hn::And(hn::TableLookupBytes(of, LoadBytes(kOrders.column[pair][q])),
                           hn::LoadDup128(DU8(), kOrders.chosen[q]));
          };
          return hn::Add(hn::Add(term(0), term(1)), hn::Add(term(2), term(3)));
        };
        std::uint8_t* at = out + (2 * pair + half) * 8 * N;
        StoreBytes(sums(low), at);
        StoreBytes(hn::Add(sums(high), hn::Set(DU8(), std::uint8_t{kRaised})), at + 4 * N);
      }
    }
  }
};

/// @ref DotColumns by lookup, for formats of one bit.
///
/// Exact: sums of bytes and of 16 bits are added to int32 before they overflow.
///
/// @par Source
/// Wei et al., "T-MAC", EuroSys 2025, arXiv:2407.00088; here with exact sums.
template <class Layout>
struct TableColumns {
  using Element = typename Layout::element;
  using Image = integer_image<Element>;
  static_assert(Element::bits == 1 && Layout::step == CodeTables::kColumns && Image::table[0] == 0);

  /// What @ref IntegerMatmul asks of products.
  struct Product {
    static constexpr bool kIsNative = false;
    static constexpr int kShift = 0;
    static constexpr std::size_t kCodeBytes = CodeTables::kBytes / (CodeTables::kColumns / 4);
    static constexpr std::size_t kWeightBytes = 1;
  };
  static constexpr bool kStages = false;
  static constexpr std::size_t kStageBytes = 0;
  struct FromPanel {
    static constexpr bool kIsStaged = false, kKeeps = false;
  };
  struct Stage {
    std::uint8_t* at = nullptr;
    std::size_t panel_bytes = 0;
  };

  /// Makes tiles of tables, [columns / 32][kWidth rows of codes].
  template <std::size_t kWidth>
  struct Tile {
    /// As InterleaveCodes::Run.
    static HWY_INLINE void Run(const std::int8_t* rows, std::size_t stride, std::size_t count,
                               std::size_t padded, std::int8_t* tile) {
      auto* out = reinterpret_cast<std::uint8_t*>(tile);
      for (std::size_t c = 0; c < padded; c += CodeTables::kColumns) {
        for (std::size_t m = 0; m < kWidth; ++m, out += CodeTables::kBytes) {
          const std::int8_t* codes = rows + m * stride + c;
          std::int8_t last[CodeTables::kColumns] = {};
          if (count < c + CodeTables::kColumns) {
            if (c < count) std::memcpy(last, codes, count - c);
            codes = last;
          }
          CodeTables::Make(codes, out);
        }
      }
    }
  };

  /// As DotColumns::Multiply.
  template <std::size_t n, std::size_t T, class Source, class Start>
  static HWY_INLINE void Multiply(const std::uint8_t* w, std::size_t, const std::int8_t* x,
                                  std::size_t columns, Start&& start, VI (&sum)[T][n * kParts],
                                  Stage = {}, std::size_t = 0) {
    static_assert(n == 1);
    const auto* tables = reinterpret_cast<const std::uint8_t*>(x);
    const std::size_t units = columns / CodeTables::kColumns;
    VI total[T][kParts];
    Unroll<T>([&](auto m) QOMPOSE_FLATTEN {
      Unroll<kParts>([&](auto v) QOMPOSE_FLATTEN { total[m][v] = hn::Zero(DI()); });
    });
    for (std::size_t u = 0; u < units;) {
      Sums16 run[T];
      const std::size_t end = std::min(u + kMostUnits, units);
      for (; u < end; ++u) {
        AskAhead<kUnitBytes, kAhead>(w);
        AddUnit<T>(w, tables, run);
        w += kUnitBytes;
        tables += T * CodeTables::kBytes;
      }
      Unroll<T>([&](auto m) QOMPOSE_FLATTEN { run[m].AddTo(total[m]); });
    }
    const VI raised = hn::Set(DI(), static_cast<std::int32_t>(units) * kRaisedUnit);
    Unroll<T>([&](auto m) QOMPOSE_FLATTEN {
      InOrder(total[m]);
      Unroll<kParts>([&](auto v) QOMPOSE_FLATTEN {
        const VI chosen = hn::Sub(total[m][v], raised);
        sum[m][v] = hn::Add(start(m, v), hn::Mul(chosen, hn::Set(DI(), Image::most_raised)));
      });
    });
  }

 private:
  static constexpr std::size_t kUnitBytes = 64;
  static constexpr std::size_t kAhead = 4096;
  /// Vectors of 16 rows and a column each, of kBlocks columns.
  static constexpr std::size_t kPairs = CodeTables::kPairs;
  /// What raised sums add to those of a unit.
  static constexpr std::int32_t kRaisedUnit = 8 * 16 * CodeTables::kRaised;
  /// Units whose sums fit 16 bits without a sign: 8 sums of 60 and 16 times 60 each.
  static constexpr std::size_t kMostUnits = 8;

  /// Sums of 16 rows.
  struct Sums16 {
    using Words = hn::Vec<DU16>;
    Words half[2];

    HWY_INLINE Sums16() {
      half[0] = hn::Zero(DU16());
      half[1] = hn::Zero(DU16());
    }

    /// += low + 16 high, a row a byte.
    HWY_INLINE void Add(UBytes low, UBytes high) {
#if HWY_ARCH_X86
      const Bytes by = hn::BitCast(DI8(), hn::Set(DU16(), std::uint16_t{0x1001}));
      const auto add = [&](Words& sum, UBytes pairs) QOMPOSE_FLATTEN {
        sum = hn::Add(sum, hn::BitCast(DU16(), MultiplyBytes(pairs, by)));
      };
      add(half[0], hn::InterleaveLower(DU8(), low, high));
      add(half[1], hn::InterleaveUpper(DU8(), low, high));
#else
      const hn::Half<DU8> bytes;
      const auto add = [&](Words& sum, auto l, auto h) QOMPOSE_FLATTEN {
        const Words words = hn::ShiftLeft<4>(hn::PromoteTo(DU16(), h));
        sum = hn::Add(hn::Add(sum, words), hn::PromoteTo(DU16(), l));
      };
      add(half[0], hn::LowerHalf(low), hn::LowerHalf(high));
      add(half[1], hn::UpperHalf(bytes, low), hn::UpperHalf(bytes, high));
#endif
    }
    HWY_INLINE void AddTo(VI (&total)[kParts]) const {
      const hn::Half<DU16> words;
      const hn::Repartition<std::uint32_t, DF> wide;
      const auto widen = [&](auto v)
                             QOMPOSE_FLATTEN { return hn::BitCast(DI(), hn::PromoteTo(wide, v)); };
      if constexpr (kParts == 2) {
        // Both halves of a vector have the same rows.
        Unroll<2>([&](auto h) QOMPOSE_FLATTEN {
          const auto rows = hn::Add(hn::LowerHalf(half[h]), hn::UpperHalf(words, half[h]));
          total[h] = hn::Add(total[h], widen(rows));
        });
      } else {
        Unroll<2>([&](auto h) QOMPOSE_FLATTEN {
          total[2 * h] = hn::Add(total[2 * h], widen(hn::LowerHalf(half[h])));
          total[2 * h + 1] = hn::Add(total[2 * h + 1], widen(hn::UpperHalf(words, half[h])));
        });
      }
    }
  };

  /// run += a unit of columns.
  template <std::size_t T>
  static HWY_INLINE void AddUnit(const std::uint8_t* w, const std::uint8_t* tables,
                                 Sums16 (&run)[T]) {
    UBytes columns[kPairs];
    Transpose(w, columns);
    // Bytes hold four entries of a table.
    Unroll<kPairs / 2>([&](auto two) QOMPOSE_FLATTEN {
      UBytes index[4];
      Unroll<2>([&](auto pair) QOMPOSE_FLATTEN {
        index[2 * pair] = ShiftAndMask<0, 15>(columns[2 * two + pair]);
        index[2 * pair + 1] = ShiftAndMask<4, 15>(columns[2 * two + pair]);
      });
      Unroll<T>([&](auto m) QOMPOSE_FLATTEN {
        const std::uint8_t* table = tables + m * CodeTables::kBytes + two * 4 * 8 * N;
        const auto entry = [&](std::size_t i, std::size_t high) QOMPOSE_FLATTEN {
          return hn::TableLookupBytes(LoadBytes(table + (2 * i + high) * 4 * N), index[i]);
        };
        const auto entries = [&](std::size_t high) QOMPOSE_FLATTEN {
          return hn::Add(hn::Add(entry(0, high), entry(1, high)),
                         hn::Add(entry(2, high), entry(3, high)));
        };
        run[m].Add(entries(0), entries(1));
      });
    });
  }

  /// The bytes of a unit, [16 rows][4], by column; AVX2 leaves rows in an order that InOrder()
  /// undoes.
  static HWY_INLINE void Transpose(const std::uint8_t* w, UBytes (&columns)[kPairs]) {
    alignas(16) static constexpr std::uint8_t kOrder[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                            2, 6, 10, 14, 3, 7, 11, 15};
    const UBytes order = hn::LoadDup128(DU8(), kOrder);
    VI rows[kParts];
    Unroll<kParts>([&](auto v) QOMPOSE_FLATTEN {
      rows[v] = AsWords(hn::TableLookupBytes(LoadBytes(w + v * 4 * N), order));
    });
    if constexpr (kParts == 2) {
#if HWY_TARGET == HWY_AVX2
      // By 64 bits: rows of the first halves before those of the second, and columns apart.
      const auto regroup = [](VI words) QOMPOSE_FLATTEN {
        return UBytes{_mm256_permute4x64_epi64(words.raw, 0xD8)};
      };
      columns[0] = regroup(hn::InterleaveLower(DI(), rows[0], rows[1]));
      columns[1] = regroup(hn::InterleaveUpper(DI(), rows[0], rows[1]));
#endif
    } else {
      TransposeBlocks(DI(), rows);
      Unroll<kParts>([&](auto c) QOMPOSE_FLATTEN { columns[c] = hn::BitCast(DU8(), rows[c]); });
    }
  }
  static HWY_INLINE void InOrder([[maybe_unused]] VI (&total)[kParts]) {
    if constexpr (kParts == 2) {
      const VI first = hn::ConcatLowerLower(DI(), total[1], total[0]);
      total[1] = hn::ConcatUpperUpper(DI(), total[1], total[0]);
      total[0] = first;
    }
  }
};

#endif  // targets

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
