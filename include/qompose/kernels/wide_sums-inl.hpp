// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Sums of products of weights of up to 24 bits, looked up, with numbers of three digits.

#if defined(QOMPOSE_KERNELS_WIDE_SUMS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_WIDE_SUMS_INL_HPP_
#undef QOMPOSE_KERNELS_WIDE_SUMS_INL_HPP_
#else
#define QOMPOSE_KERNELS_WIDE_SUMS_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "qompose/kernels/digits-inl.hpp"
#include "qompose/kernels/dot-inl.hpp"
#include "qompose/kernels/fields-inl.hpp"
#include "qompose/kernels/interleave-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/packing/planes.hpp"
#include "qompose/packing/wide_image.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Whether weights are byte planes or words here.
constexpr bool kWideAsPlanes = Dot<255>::kIsNative;
constexpr bool kWideAsWords =
    HWY_ARCH_X86 && !QOMPOSE_PLAIN_TARGET && !kWideAsPlanes && HWY_TARGET > HWY_AVX3;

/// Sums over columns of panels whose codes stand for integers. With integers of 16 bits
/// (`kIsShort`) they are exact; with longer ones products of the lowest digits are left out, in all
/// less than 2^-21 of the product of both largest numbers.
///
/// `Tables` hold the integers of all fields, `Tile` makes the tile of a token from its digits, in
/// which four columns of a digit have kCodeBytes; results are worth kUnit.
template <class Layout, bool kIsShort, class = void>
struct WideSums {
  static constexpr bool kExists = false;
};

/// Whether words are made of two factors.
template <class Layout>
constexpr bool kIsFactored = detail::wide_factors<typename Layout::element>.exist;

#if !QOMPOSE_PLAIN_TARGET
/// Entries of the tables of a layout.
template <class Layout>
constexpr std::size_t kWideEntries = Layout::element::bits <= 4   ? 16
                                     : Layout::element::bits == 5 ? 32
                                                                  : 64;

/// Bytes: integers are two or three digits, raised by 128, a table each. Every product of two
/// digits has sums of its own, which are put together by their powers of 256; with three digits
/// those below 256^2 are left out.
template <class Layout, bool kIsShort>
struct WideSums<Layout, kIsShort, std::enable_if_t<kWideAsPlanes && (Layout::element::bits <= 6)>> {
  static constexpr bool kExists = true;
  static constexpr std::size_t kCount = Digits::kCount;
  static constexpr std::size_t kPlanes = kIsShort ? 2 : 3;
  static constexpr std::size_t kLowest = kIsShort ? 0 : 2;
  static constexpr std::size_t kOrders = kPlanes + kCount - 1 - kLowest;
  static constexpr std::size_t kCodeBytes = 4;
  static constexpr std::size_t kMostColumns = 8192;
  static constexpr float kUnit = kIsShort ? 1.0f : 65536.0f;
  using Product = Dot<255>;
  static constexpr int kCorrection = Product::kShift - 128;
  using Tile = InterleaveCodes<kCount, kCodeBytes>;

  struct Tables {
    alignas(64) std::uint8_t plane[kPlanes][64] = {};
    constexpr void Set(std::size_t field, std::int32_t integer) {
      const std::int32_t raised = integer + (kIsShort ? 0x8080 : 0x808080);
      for (std::size_t p = 0; p < kPlanes; ++p) {
        plane[p][field] = static_cast<std::uint8_t>(raised >> 8 * p & 255);
      }
    }
  };
  HWY_INLINE explicit WideSums(const Tables& tables) : tables_(tables) {}

  /// Sums of a vector of rows, as floats.
  HWY_INLINE VF Columns(const std::uint8_t* w, std::size_t part, const std::int8_t* x,
                        std::size_t columns, const std::int32_t* corrections) const {
    VI sum[kPlanes * kCount];
    Unroll<kPlanes * kCount>(
        [&](auto i) QOMPOSE_FLATTEN { sum[i] = hn::Set(DI(), corrections[i % kCount]); });
    for (std::size_t k = 0; k < columns; k += Layout::step) {
      AskAhead<Fields<Layout>::kUnitBytes>(w);
      Unroll<Layout::step / 4>([&](auto quad) QOMPOSE_FLATTEN {
        const UBytes fields = Fields<Layout>::template Get<decltype(quad)::value>(w, part);
        typename Product::Codes codes[kCount];
        Unroll<kCount>([&](auto d) QOMPOSE_FLATTEN {
          codes[d] = Product::LoadCodes(x + (quad * kCount + d) * kCodeBytes);
        });
        Unroll<kPlanes>([&](auto p) QOMPOSE_FLATTEN {
          const typename Product::Weights digits =
              Product::Prepare(LookUpBytes<kWideEntries<Layout>>(tables_.plane[p], fields));
          Unroll<kCount>([&](auto d) QOMPOSE_FLATTEN {
            if constexpr (p + d >= kLowest) {
              Product::Add(sum[p * kCount + d], digits, codes[d]);
            }
          });
        });
      });
      w += Fields<Layout>::kUnitBytes;
      x += Layout::step / 4 * kCount * kCodeBytes;
    }
    VI order[kOrders];
    Unroll<kPlanes * kCount>([&](auto i) QOMPOSE_FLATTEN {
      constexpr std::size_t kOrder = i / kCount + i % kCount;
      if constexpr (kOrder >= kLowest) {
        // Whether this plane is the first that reaches the order.
        constexpr bool kStarts = i / kCount == 0 || i % kCount == kCount - 1;
        VI& all = order[kOrder - kLowest];
        all = kStarts ? sum[i] : hn::Add(all, sum[i]);
      }
    });
    // The lowest first.
    VF value = hn::ConvertTo(DF(), order[0]);
    Unroll<kOrders>([&](auto o) QOMPOSE_FLATTEN {
      if constexpr (o > 0) {
        constexpr auto kPower = static_cast<float>(std::int64_t{1} << 8 * o);
        value = hn::MulAdd(hn::ConvertTo(DF(), order[o]), hn::Set(DF(), kPower), value);
      }
    });
    return value;
  }

 private:
  const Tables& tables_;
};
#endif

#if HWY_ARCH_X86 && !QOMPOSE_PLAIN_TARGET && HWY_TARGET > HWY_AVX3
/// Digits of a token as words: four columns are A and B of 16 bits and the highest digit, where
/// 4096 A + B is the number and B in -2048 .. 2047.
/// @tparam kIsSplit  whether columns 0, 2, 1, 3 follow each other in A and B
template <bool kIsSplit>
struct WordTile {
  static constexpr std::size_t kQuadBytes = 24;

  /// As InterleaveCodes.
  static HWY_INLINE void Run(const std::int8_t* rows, std::size_t stride, std::size_t count,
                             std::size_t padded, std::int8_t* tile) {
    constexpr std::size_t kStep = 8;
    for (std::size_t c = 0; c < padded; c += kStep, tile += 2 * kQuadBytes) {
      std::int8_t digits[3][kStep] = {};
      std::int16_t words[2][kStep];
      const std::size_t some = c < count ? std::min(kStep, count - c) : 0;
      for (std::size_t d = 0; d < 3 && some > 0; ++d) {
        std::memcpy(digits[d], rows + d * stride + c, some);
      }
      const hn::Rebind<std::int16_t, DF> half;
      for (std::size_t i = 0; i < kStep; i += N) {
        const VI low =
            hn::Add(LoadCodes(digits[0] + i), hn::ShiftLeft<8>(LoadCodes(digits[1] + i)));
        const VI all = hn::Add(low, hn::ShiftLeft<16>(LoadCodes(digits[2] + i)));
        const VI a = hn::ShiftRight<12>(hn::Add(all, hn::Set(DI(), 2048)));
        hn::StoreU(hn::DemoteTo(half, a), half, words[0] + i);
        hn::StoreU(hn::DemoteTo(half, hn::Sub(all, hn::ShiftLeft<12>(a))), half, words[1] + i);
      }
      for (std::size_t q = 0; q < 2; ++q) {
        std::int8_t* quad = tile + q * kQuadBytes;
        for (auto& four : words) {
          if constexpr (kIsSplit) std::swap(four[4 * q + 1], four[4 * q + 2]);
        }
        std::memcpy(quad, words[0] + 4 * q, 8);
        std::memcpy(quad + 8, words[1] + 4 * q, 8);
        std::memcpy(quad + 16, digits[2] + 4 * q, 4);
        std::memset(quad + 20, 0, 4);
      }
    }
  }
};

/// Two words or four of a tile to all lanes.
HWY_INLINE Pairs BroadcastTwo(const std::int8_t* p) {
  std::int32_t words;
  std::memcpy(&words, p, sizeof(words));
  return hn::BitCast(DI16(), hn::Set(DI(), words));
}
HWY_INLINE Pairs BroadcastFour(const std::int8_t* p) {
  std::int64_t words;
  std::memcpy(&words, p, sizeof(words));
  return hn::BitCast(DI16(), hn::Set(hn::Repartition<std::int64_t, DF>(), words));
}

/// add(unit number, quad) for quads of `columns` columns.
template <class Layout, class AddUnit>
HWY_INLINE void ForUnits(const std::uint8_t*& w, const std::int8_t*& x, std::size_t quad_bytes,
                         std::size_t columns, AddUnit&& add_unit) {
  constexpr std::size_t kBlock =
      HWY_TARGET == HWY_AVX2 ? std::max<std::size_t>(16 / Layout::step, 1) : 1;
  std::size_t units = columns / Layout::step;
  const auto add_units = [&](auto count) QOMPOSE_FLATTEN {
    Unroll<decltype(count)::value>(add_unit);
    w += count * Fields<Layout>::kUnitBytes;
    x += count * Layout::step / 4 * quad_bytes;
    units -= count;
  };
  while (units >= kBlock) add_units(std::integral_constant<std::size_t, kBlock>());
  if constexpr (kBlock > 1) {
    while (units > 0) add_units(std::integral_constant<std::size_t, 1>());
  }
}

/// Words: integers are 16 bits, of which low and high bytes have a table each, and, where they are
/// not short, 7 bits below, which meet the highest digit alone. Products of words are exact in
/// 32 bits, and two of words and bytes take what four of bytes do.
template <class Layout, bool kIsShort>
struct WideSums<
    Layout, kIsShort,
    std::enable_if_t<kWideAsWords && (Layout::element::bits <= 6) && !kIsFactored<Layout>>> {
  static constexpr bool kExists = true;
  using Tile = WordTile<false>;
  static constexpr std::size_t kCodeBytes = Tile::kQuadBytes / Digits::kCount;
  /// As many as 32 bits hold: a lane has half of them, products of 15 and 11 bits.
  static constexpr std::size_t kMostColumns = 64;
  static constexpr float kUnit = kIsShort ? 1.0f : 128.0f;
  static constexpr int kCorrection = kIsShort ? 0 : -64;

  struct Tables {
    alignas(64) std::uint8_t low[64] = {};
    alignas(64) std::uint8_t high[64] = {};
    alignas(64) std::uint8_t rest[64] = {};
    constexpr void Set(std::size_t field, std::int32_t integer) {
      const std::int32_t word = kIsShort ? integer : (integer + 64) >> 7;
      low[field] = static_cast<std::uint8_t>(word & 255);
      high[field] = static_cast<std::uint8_t>(word >> 8 & 255);
      if (!kIsShort) rest[field] = static_cast<std::uint8_t>(integer - 128 * word + 64);
    }
  };
  HWY_INLINE explicit WideSums(const Tables& tables) : tables_(tables) {}

  HWY_INLINE VF Columns(const std::uint8_t* w, std::size_t part, const std::int8_t* x,
                        std::size_t columns, const std::int32_t* corrections) const {
    constexpr std::size_t kEntries = kWideEntries<Layout>;
    // Of A and B, of the lower and upper halves of 128 bits.
    VI a[2] = {hn::Zero(DI()), hn::Zero(DI())};
    VI b[2] = {hn::Zero(DI()), hn::Zero(DI())};
    VI rest = hn::Set(DI(), corrections[2]);
    ForUnits<Layout>(w, x, Tile::kQuadBytes, columns, [&](auto unit) QOMPOSE_FLATTEN {
      Unroll<Layout::step / 4>([&](auto quad) QOMPOSE_FLATTEN {
        const UBytes fields = Fields<Layout>::template Get<decltype(quad)::value>(
            w + unit * Fields<Layout>::kUnitBytes, part);
        const std::int8_t* at = x + (unit * Layout::step / 4 + quad) * Tile::kQuadBytes;
        const UBytes low = LookUpBytes<kEntries>(tables_.low, fields);
        const UBytes high = LookUpBytes<kEntries>(tables_.high, fields);
        const Pairs first = hn::BitCast(DI16(), hn::InterleaveLower(DU8(), low, high));
        const Pairs second = hn::BitCast(DI16(), hn::InterleaveUpper(DU8(), low, high));
        const Pairs xa = BroadcastFour(at);
        const Pairs xb = BroadcastFour(at + 8);
        AddPairs(a[0], first, xa);
        AddPairs(a[1], second, xa);
        AddPairs(b[0], first, xb);
        AddPairs(b[1], second, xb);
        if constexpr (!kIsShort) {
          AddPairs(rest,
                   MultiplyBytes(LookUpBytes<kEntries>(tables_.rest, fields),
                                 ByteOperands::LoadCodes(at + 16)),
                   hn::Set(DI16(), std::int16_t{1}));
        }
      });
    });
    const VF power = hn::Set(DF(), 4096.0f);
    const auto whole = [&](std::size_t half) QOMPOSE_FLATTEN {
      return hn::MulAdd(hn::ConvertTo(DF(), a[half]), power, hn::ConvertTo(DF(), b[half]));
    };
    // Two lanes of each half are a row.
#if HWY_TARGET == HWY_AVX2
    const VF value{_mm256_hadd_ps(whole(0).raw, whole(1).raw)};
#else
    const VF value{_mm_hadd_ps(whole(0).raw, whole(1).raw)};
#endif
    if constexpr (kIsShort) return value;
    return hn::MulAdd(hn::ConvertTo(DF(), rest), hn::Set(DF(), 512.0f), value);
  }

 private:
  const Tables& tables_;
};

/// Fields of 6 bits whose upper two choose a table for the lower four and a power of two, such as
/// those of fp6_e3m2: both are looked up and multiplied, columns 0 and 2, and 1 and 3, at a time.
template <class Layout, bool kIsShort>
struct WideSums<Layout, kIsShort, std::enable_if_t<kWideAsWords && kIsFactored<Layout>>> {
  static constexpr bool kExists = true;
  using Tile = WordTile<true>;
  static constexpr std::size_t kCodeBytes = Tile::kQuadBytes / Digits::kCount;
  /// A lane has all of them, products of 11 bits, or 16 where integers are that long, and 11.
  static constexpr std::size_t kMostColumns = 32;
  static constexpr float kUnit = 1.0f;
  static constexpr int kCorrection = 0;

  /// Known here, but read from memory, as compilers make constants anew for each group.
  struct Tables {
    alignas(16) std::uint8_t number[2][16] = {};
    alignas(16) std::uint8_t even[16] = {};
    alignas(16) std::uint8_t odd[16] = {};
    constexpr Tables() {
      constexpr auto kFound = detail::wide_factors<typename Layout::element>;
      for (std::size_t i = 0; i < 16; ++i) {
        number[0][i] = kFound.number[0][i];
        number[1][i] = kFound.number[1][i];
        even[i] = static_cast<std::uint8_t>(kFound.factor[i % 4]);
        odd[i] = static_cast<std::uint8_t>(kFound.factor[i / 4]);
      }
    }
    constexpr void Set(std::size_t, std::int32_t) {}
  };
  HWY_INLINE explicit WideSums(const Tables& tables) : tables_(tables) {}

  HWY_INLINE VF Columns(const std::uint8_t* w, std::size_t part, const std::int8_t* x,
                        std::size_t columns, const std::int32_t*) const {
    using Low = detail::field_plane<4, 0, Layout::step>;
    using High = detail::field_plane<2, 4, Layout::step>;
    static_assert(Layout::step == 16);
    const auto low_bytes = hn::Set(DU16(), std::uint16_t{0x00FF});
    VI a = hn::Zero(DI());
    VI b = hn::Zero(DI());
    ForUnits<Layout>(w, x, Tile::kQuadBytes, columns, [&](auto unit) QOMPOSE_FLATTEN {
      const std::uint8_t* at = w + unit * Fields<Layout>::kUnitBytes + part * 4 * N;
      const UBytes upper = LoadBytes(at + High::begin);
      Unroll<4>([&](auto quad) QOMPOSE_FLATTEN {
        const std::int8_t* xs = x + (unit * 4 + quad) * Tile::kQuadBytes;
        const UBytes lower =
            ShiftAndMask<Low::shift(4 * quad), 15>(LoadBytes(at + Low::begin + quad / 2 * 64));
        // The upper bits of two quads are one index, of which each has its half.
        const UBytes both = ShiftAndMask<(quad < 2 ? 0 : 4), 15>(upper);
        const UBytes factor = LookUpBytes<16>(quad % 2 == 0 ? tables_.even : tables_.odd, both);
        const UBytes number =
            hn::BitCast(DU8(), Choose(hn::ShiftLeft<7 - 2 * quad>(hn::BitCast(DU16(), upper)),
                                      LookUpBytes<16>(tables_.number[1], lower),
                                      LookUpBytes<16>(tables_.number[0], lower)));
        const auto pairs = hn::BitCast(DU16(), factor);
        const auto even = hn::And(low_bytes, pairs);
        const auto odd = hn::AndNot(low_bytes, pairs);
        const Pairs first = MultiplyBytes(number, hn::BitCast(DI8(), even));
        const Pairs second = MultiplyBytes(number, hn::BitCast(DI8(), odd));
        AddPairs(a, first, BroadcastTwo(xs));
        AddPairs(a, second, BroadcastTwo(xs + 4));
        AddPairs(b, first, BroadcastTwo(xs + 8));
        AddPairs(b, second, BroadcastTwo(xs + 12));
      });
    });
    return hn::MulAdd(hn::ConvertTo(DF(), a), hn::Set(DF(), 4096.0f), hn::ConvertTo(DF(), b));
  }

 private:
  /// yes where the highest bit of a byte is set.
  template <class V>
  static HWY_INLINE UBytes Choose(V mask, UBytes yes, UBytes no) {
#if HWY_TARGET == HWY_AVX2
    return UBytes{_mm256_blendv_epi8(no.raw, yes.raw, mask.raw)};
#else
    return UBytes{_mm_blendv_epi8(no.raw, yes.raw, mask.raw)};
#endif
  }
  const Tables& tables_;
};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
