// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Dot products of small unsigned weights with int8 codes, exact on every target.

#if defined(QOMPOSE_KERNELS_DOT_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_DOT_INL_HPP_
#undef QOMPOSE_KERNELS_DOT_INL_HPP_
#else
#define QOMPOSE_KERNELS_DOT_INL_HPP_
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

/// Sums that hold any number of products.
constexpr std::size_t kEndlessRun = ~std::size_t{0};

/// sum[i] += w[4 i .. 4 i + 3] . x[0 .. 3] for weights in 0 .. kMost and codes in -128 .. 127.
///
/// `Prepare` takes weights as the products want them (`StoreWeights` and `LoadWeights` keep that
/// form in memory, kWeightBytes a byte), `LoadCodes` one quad of a token's codes (8 bytes are x0,
/// x2, x1, x3 in 16 bits). Sums of at most kRun quads are held in a `Partial` that cannot overflow
/// (`Start` is 0; `First`, where kRun is not endless, a first product) and then added to int32 by
/// `Flush`. A weight goes in as w - kShift. `kIsNative` where one instruction does all of it,
/// `kTakesAnyByte` where that takes weights of up to 255 whatever kMost is.
#if QOMPOSE_PLAIN_TARGET
template <int kMost>
struct Dot {
  static constexpr bool kIsNative = false;
  static constexpr bool kTakesAnyByte = false;
  static constexpr std::size_t kRun = kEndlessRun;
  static constexpr int kShift = 0;
  static constexpr std::size_t kCodeBytes = 4;
  static constexpr std::size_t kWeightBytes = 1;
  struct Codes {
    std::int8_t lane[4];
  };
  using Weights = UBytes;
  using Partial = VI;
  using DU = hn::Rebind<std::uint32_t, DI>;

  static HWY_INLINE Weights Prepare(UBytes w) { return w; }
  static HWY_INLINE void StoreWeights(Weights w, std::uint8_t* p) { StoreBytes(w, p); }
  static HWY_INLINE Weights LoadWeights(const std::uint8_t* p) { return LoadBytes(p); }
  static HWY_INLINE Codes LoadCodes(const std::int8_t* p) {
    Codes codes;
    std::memcpy(codes.lane, p, 4);
    return codes;
  }
  static HWY_INLINE Partial Start() { return hn::Zero(DI()); }
  static HWY_INLINE VI Flush(VI sum, Partial partial) { return hn::Add(sum, partial); }
  static HWY_INLINE void Add(Partial& sum, Weights w, Codes x) {
    // Modulo 2^32, as registers.
    std::uint32_t lanes[N];
    hn::StoreU(hn::BitCast(DU(), sum), DU(), lanes);
    for (std::size_t i = 0; i < 4 * N; ++i) {
      lanes[i / 4] += static_cast<std::uint32_t>(w.lane[i] * x.lane[i % 4]);
    }
    sum = hn::BitCast(DI(), hn::LoadU(DU(), lanes));
  }
};
#else

/// What the targets with byte instructions share: weights and codes go in as they are.
struct ByteOperands {
  static constexpr bool kIsNative = false;
  static constexpr bool kTakesAnyByte = false;
  static constexpr std::size_t kRun = kEndlessRun;
  static constexpr int kShift = 0;
  static constexpr std::size_t kCodeBytes = 4;
  static constexpr std::size_t kWeightBytes = 1;
  using Codes = Bytes;
  using Weights = UBytes;
  using Partial = VI;

  static HWY_INLINE Weights Prepare(UBytes w) { return w; }
  static HWY_INLINE void StoreWeights(Weights w, std::uint8_t* p) { StoreBytes(w, p); }
  static HWY_INLINE Weights LoadWeights(const std::uint8_t* p) { return LoadBytes(p); }
  static HWY_INLINE Codes LoadCodes(const std::int8_t* p) {
    std::int32_t word;
    std::memcpy(&word, p, sizeof(word));
    return hn::BitCast(DI8(), hn::Set(DI(), word));
  }
  static HWY_INLINE Partial Start() { return hn::Zero(DI()); }
  static HWY_INLINE VI Flush(VI sum, Partial partial) { return hn::Add(sum, partial); }
};

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
template <int kMost>
struct Dot : ByteOperands {
  static constexpr bool kIsNative = true;
  static constexpr bool kTakesAnyByte = true;

  static HWY_INLINE void Add(Partial& sum, Weights w, Codes x) {
#if HWY_COMPILER_GCC_ACTUAL
    // With the intrinsic g++ 12 and 14 spill the sums to the stack.
    asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "v"(x.raw));
#else
    sum.raw = _mm512_dpbusd_epi32(sum.raw, w.raw, x.raw);
#endif
  }
};
#elif HWY_ARCH_X86

using Pairs = hn::Vec<DI16>;

// Products and sums are tied together for g++, which otherwise turns long chains of sums into trees
// and spills their leaves.
#if HWY_TARGET == HWY_AVX2 && HWY_COMPILER_GCC_ACTUAL
#define QOMPOSE_TIED_SUMS 1
#else
#define QOMPOSE_TIED_SUMS 0
#endif

/// sum += sums of neighbouring products of 16 bits
HWY_INLINE void AddPairs(VI& sum, Pairs a, Pairs b) {
#if QOMPOSE_TIED_SUMS
  __m256i products;
  asm("vpmaddwd %3, %2, %1\n\tvpaddd %1, %0, %0"
      : "+x"(sum.raw), "=&x"(products)
      : "x"(a.raw), "x"(b.raw));
#elif HWY_TARGET == HWY_AVX3
  sum = hn::Add(sum, VI{_mm512_madd_epi16(a.raw, b.raw)});
#elif HWY_TARGET == HWY_AVX2
  sum = hn::Add(sum, VI{_mm256_madd_epi16(a.raw, b.raw)});
#else
  sum = hn::Add(sum, VI{_mm_madd_epi16(a.raw, b.raw)});
#endif
}
/// Sums of neighbouring products of bytes, weights unsigned and codes signed.
HWY_INLINE Pairs MultiplyBytes(UBytes w, Bytes x) {
#if HWY_TARGET == HWY_AVX3
  return Pairs{_mm512_maddubs_epi16(w.raw, x.raw)};
#elif HWY_TARGET == HWY_AVX2
  return Pairs{_mm256_maddubs_epi16(w.raw, x.raw)};
#else
  return Pairs{_mm_maddubs_epi16(w.raw, x.raw)};
#endif
}
/// sum += MultiplyBytes(w, x)
HWY_INLINE void AddBytePairs(Pairs& sum, UBytes w, Bytes x) {
#if QOMPOSE_TIED_SUMS
  __m256i products;
  asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0"
      : "+x"(sum.raw), "=&x"(products)
      : "x"(w.raw), "x"(x.raw));
#else
  sum = hn::Add(sum, MultiplyBytes(w, x));
#endif
}

/// How many products of two bytes each a sum of 16 bits can hold.
constexpr std::size_t PairsThatFit(int most) {
  return most == 0 ? 128 : static_cast<std::size_t>(32767 / (2 * 128 * most));
}

/// Pairs of products are summed in 16 bits for kRun quads.
template <int kMost, std::size_t kPairs = std::min<std::size_t>(PairsThatFit(kMost), 2)>
struct Dot : ByteOperands {
  static constexpr std::size_t kRun = PairsThatFit(kMost);
  using Partial = Pairs;

  static HWY_INLINE Partial Start() { return hn::Zero(DI16()); }
  static HWY_INLINE void First(Partial& sum, Weights w, Codes x) { sum = MultiplyBytes(w, x); }
  static HWY_INLINE void Add(Partial& sum, Weights w, Codes x) { AddBytePairs(sum, w, x); }
  static HWY_INLINE VI Flush(VI sum, Partial partial) {
    AddPairs(sum, partial, hn::Set(DI16(), std::int16_t{1}));
    return sum;
  }
};

/// Pairs of products fit 16 bits, but no sum of them does.
template <int kMost>
struct Dot<kMost, 1> : ByteOperands {
  static HWY_INLINE void Add(Partial& sum, Weights w, Codes x) {
    AddPairs(sum, MultiplyBytes(w, x), hn::Set(DI16(), std::int16_t{1}));
  }
};

/// Weights of 8 bits would overflow sums of 16: both operands are widened, bytes 0 and 2 of a quad
/// beside each other, then 1 and 3.
template <int kMost>
struct Dot<kMost, 0> : ByteOperands {
  static constexpr std::size_t kCodeBytes = 8;
  static constexpr std::size_t kWeightBytes = 2;
  struct Codes {
    Pairs even;
    Pairs odd;
  };
  using Weights = Codes;

  static HWY_INLINE Weights Prepare(UBytes w) {
    const auto pairs = hn::BitCast(DU16(), w);
    return {hn::BitCast(DI16(), hn::And(pairs, hn::Set(DU16(), std::uint16_t{255}))),
            hn::BitCast(DI16(), hn::ShiftRight<8>(pairs))};
  }
  static HWY_INLINE void StoreWeights(Weights w, std::uint8_t* p) {
    StoreBytes(hn::BitCast(DU8(), w.even), p);
    StoreBytes(hn::BitCast(DU8(), w.odd), p + 4 * N);
  }
  static HWY_INLINE Weights LoadWeights(const std::uint8_t* p) {
    return {hn::BitCast(DI16(), LoadBytes(p)), hn::BitCast(DI16(), LoadBytes(p + 4 * N))};
  }
  static HWY_INLINE Codes LoadCodes(const std::int8_t* p) {
    return {BroadcastWord(p), BroadcastWord(p + 4)};
  }
  static HWY_INLINE void Add(Partial& sum, Weights w, Codes x) {
    AddPairs(sum, w.even, x.even);
    AddPairs(sum, w.odd, x.odd);
  }

 private:
  static HWY_INLINE Pairs BroadcastWord(const std::int8_t* p) {
    std::int32_t word;
    std::memcpy(&word, p, sizeof(word));
    return hn::BitCast(DI16(), hn::Set(DI(), word));
  }
};

/// Weights of 8 bits and codes in 0 .. 127: these are the unsigned operand, so that two products
/// fit a sum of 16 bits.
struct DotOfUnsignedCodes : ByteOperands {
  static constexpr int kShift = 128;
  using Weights = Bytes;

  static HWY_INLINE Weights Prepare(UBytes w) {
    return hn::BitCast(DI8(), hn::Xor(w, hn::Set(DU8(), std::uint8_t{128})));
  }
  static HWY_INLINE void StoreWeights(Weights w, std::uint8_t* p) {
    StoreBytes(hn::BitCast(DU8(), w), p);
  }
  static HWY_INLINE Weights LoadWeights(const std::uint8_t* p) {
    return hn::BitCast(DI8(), LoadBytes(p));
  }
  static HWY_INLINE void Add(Partial& sum, Weights w, Codes x) {
    AddPairs(sum, MultiplyBytes(hn::BitCast(DU8(), x), w), hn::Set(DI16(), std::int16_t{1}));
  }
};
#elif HWY_ARCH_ARM_A64
template <int kMost>
struct Dot : ByteOperands {
#if defined(__ARM_FEATURE_DOTPROD)
  static constexpr bool kIsNative = true;
#endif
  /// Both operands are signed here, so weights of 8 bits are lowered.
  static constexpr int kShift = kMost > 127 ? 128 : 0;
  using Weights = Bytes;

  static HWY_INLINE Weights Prepare(UBytes w) {
    if constexpr (kShift != 0) w = hn::Xor(w, hn::Set(DU8(), std::uint8_t{128}));
    return hn::BitCast(DI8(), w);
  }
  static HWY_INLINE void StoreWeights(Weights w, std::uint8_t* p) {
    StoreBytes(hn::BitCast(DU8(), w), p);
  }
  static HWY_INLINE Weights LoadWeights(const std::uint8_t* p) {
    return hn::BitCast(DI8(), LoadBytes(p));
  }
  static HWY_INLINE void Add(Partial& sum, Weights w, Codes x) {
#if defined(__ARM_FEATURE_DOTPROD)
    sum.raw = vdotq_s32(sum.raw, w.raw, x.raw);
#else
    // 128 * 128 and two of them fit 16 bits only as separate products.
    const int16x8_t low = vmull_s8(vget_low_s8(w.raw), vget_low_s8(x.raw));
    const int16x8_t high = vmull_high_s8(w.raw, x.raw);
    sum.raw = vaddq_s32(sum.raw, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
  }
};
#else
#error \
    "qompose: kernels/dot-inl.hpp: no dot product for this target; add it to HWY_DISABLED_TARGETS"
#endif
#endif  // QOMPOSE_PLAIN_TARGET

/// The products of weights up to kMost with codes that are never negative where `kUnsigned`.
template <int kMost, bool kUnsigned>
struct DotOf {
  using type = Dot<kMost>;
};
#if HWY_ARCH_X86 && !QOMPOSE_PLAIN_TARGET && HWY_TARGET > HWY_AVX3_DL
template <int kMost>
  requires(PairsThatFit(kMost) == 0)
struct DotOf<kMost, true> {
  using type = DotOfUnsignedCodes;
};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
