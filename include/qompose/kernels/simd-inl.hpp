// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Vector types, byte loads and the integer dot product, for the target at hand.

#if defined(QOMPOSE_KERNELS_SIMD_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_SIMD_INL_HPP_
#undef QOMPOSE_KERNELS_SIMD_INL_HPP_
#else
#define QOMPOSE_KERNELS_SIMD_INL_HPP_
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "qompose/kernels/before_namespace-inl.hpp"
#include "qompose/packing/panels.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, panel_rows>;
using DI = hn::Rebind<std::int32_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;

/// Lanes of a vector and vectors of a panel.
constexpr std::size_t N = hn::MaxLanes(DF());
constexpr std::size_t kParts = panel_rows / N;

template <class F, std::size_t... I>
HWY_INLINE void UnrollSequence(std::index_sequence<I...>, F&& f) {
  (f(std::integral_constant<std::size_t, I>()), ...);
}
/// f(0), ..., f(n - 1) with compile-time arguments, so that arrays of vectors stay in registers.
template <std::size_t n, class F>
HWY_INLINE void Unroll(F&& f) {
  UnrollSequence(std::make_index_sequence<n>(), f);
}

// A vector of 4 N bytes: lane i of the int32 sums belongs to bytes 4 i .. 4 i + 3.
#if QOMPOSE_PLAIN_TARGET
// One-lane vectors cannot be seen as four bytes, so these targets keep the bytes in an array.
struct Bytes {
  std::int8_t lane[4 * N];
};
using UBytes = Bytes;

HWY_INLINE Bytes LoadBytes(const std::uint8_t* p) {
  Bytes v;
  std::memcpy(v.lane, p, sizeof(v.lane));
  return v;
}
HWY_INLINE Bytes Broadcast4(const std::int8_t* p) {
  Bytes v;
  for (std::size_t i = 0; i < 4 * N; ++i) v.lane[i] = p[i % 4];
  return v;
}
HWY_INLINE Bytes LowNibbles(Bytes v) {
  for (std::int8_t& lane : v.lane) lane = static_cast<std::int8_t>(lane & 15);
  return v;
}
HWY_INLINE Bytes HighNibbles(Bytes v) {
  for (std::int8_t& lane : v.lane) lane = static_cast<std::int8_t>((lane >> 4) & 15);
  return v;
}
HWY_INLINE void StoreBytes(Bytes v, std::uint8_t* p) { std::memcpy(p, v.lane, sizeof(v.lane)); }
/// sum[i] += a[4 i .. 4 i + 3] . b[4 i .. 4 i + 3]
HWY_INLINE void AddDot(VI& sum, Bytes a, Bytes b) {
  std::int32_t lanes[N];
  hn::StoreU(sum, DI(), lanes);
  for (std::size_t i = 0; i < 4 * N; ++i) lanes[i / 4] += a.lane[i] * b.lane[i];
  sum = hn::LoadU(DI(), lanes);
}
#else
using DU8 = hn::Repartition<std::uint8_t, DF>;
using DI8 = hn::Repartition<std::int8_t, DF>;
using DI16 = hn::Repartition<std::int16_t, DF>;
using DU16 = hn::Repartition<std::uint16_t, DF>;
using Bytes = hn::Vec<DI8>;
using UBytes = hn::Vec<DU8>;

HWY_INLINE UBytes LoadBytes(const std::uint8_t* p) { return hn::LoadU(DU8(), p); }
HWY_INLINE Bytes Broadcast4(const std::int8_t* p) {
  std::int32_t word;
  std::memcpy(&word, p, sizeof(word));
  return hn::BitCast(DI8(), hn::Set(DI(), word));
}
HWY_INLINE UBytes LowNibbles(UBytes v) { return hn::And(v, hn::Set(DU8(), std::uint8_t{15})); }
HWY_INLINE UBytes HighNibbles(UBytes v) {
  return LowNibbles(hn::BitCast(DU8(), hn::ShiftRight<4>(hn::BitCast(DU16(), v))));
}
HWY_INLINE void StoreBytes(UBytes v, std::uint8_t* p) { hn::StoreU(v, DU8(), p); }
#endif

// Dot products of 4-bit fields (0 .. 15) and of signed bytes with activation codes in -127 .. 127.
// `Partial` sums a run of at most kPartialColumns columns without overflow; Flush widens it.
#if QOMPOSE_PLAIN_TARGET
constexpr std::size_t kPartialColumns = ~std::size_t{0};
constexpr int kByteBias = 0;
using Partial = VI;
using ByteOperand = Bytes;
HWY_INLINE Partial StartPartial(VI sum) { return sum; }
HWY_INLINE VI FlushPartial(VI, Partial partial) { return partial; }
HWY_INLINE void AddNibbles(Partial& sum, UBytes w, Bytes x) { AddDot(sum, w, x); }
HWY_INLINE ByteOperand PrepareBytes(UBytes w) { return w; }
HWY_INLINE void AddBytes(VI& sum, ByteOperand w, Bytes x) { AddDot(sum, w, x); }
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
constexpr std::size_t kPartialColumns = ~std::size_t{0};
/// vpdpbusd multiplies unsigned by signed bytes: weights go in as w + 128.
constexpr int kByteBias = 128;
using Partial = VI;
using ByteOperand = UBytes;
HWY_INLINE void AddVnni(VI& sum, UBytes u, Bytes s) {
#if HWY_COMPILER_GCC_ACTUAL
  // With the intrinsic g++ 12 and 14 spill the sums to the stack.
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(u.raw), "v"(s.raw));
#else
  sum.raw = _mm512_dpbusd_epi32(sum.raw, u.raw, s.raw);
#endif
}
HWY_INLINE Partial StartPartial(VI sum) { return sum; }
HWY_INLINE VI FlushPartial(VI, Partial partial) { return partial; }
HWY_INLINE void AddNibbles(Partial& sum, UBytes w, Bytes x) { AddVnni(sum, w, x); }
HWY_INLINE ByteOperand PrepareBytes(UBytes w) {
  return hn::Xor(w, hn::Set(DU8(), std::uint8_t{0x80}));
}
HWY_INLINE void AddBytes(VI& sum, ByteOperand w, Bytes x) { AddVnni(sum, w, x); }
#elif HWY_ARCH_X86
/// Pairs of 15 * 127 fit 16 bits eight times over: 8 * 2 * 15 * 127 = 30480.
constexpr std::size_t kPartialColumns = 32;
constexpr int kByteBias = 0;
using Partial = hn::Vec<DI16>;
HWY_INLINE Partial MultiplyPairs(UBytes u, Bytes s) {
#if HWY_TARGET == HWY_AVX3
  return Partial{_mm512_maddubs_epi16(u.raw, s.raw)};
#elif HWY_TARGET == HWY_AVX2
  return Partial{_mm256_maddubs_epi16(u.raw, s.raw)};
#else
  return Partial{_mm_maddubs_epi16(u.raw, s.raw)};
#endif
}
HWY_INLINE VI AddPairs(Partial v) {
#if HWY_TARGET == HWY_AVX3
  return VI{_mm512_madd_epi16(v.raw, _mm512_set1_epi16(1))};
#elif HWY_TARGET == HWY_AVX2
  return VI{_mm256_madd_epi16(v.raw, _mm256_set1_epi16(1))};
#else
  return VI{_mm_madd_epi16(v.raw, _mm_set1_epi16(1))};
#endif
}
HWY_INLINE Bytes CopySign(Bytes x, Bytes w) {
#if HWY_TARGET == HWY_AVX3
  return hn::IfThenElse(hn::Lt(w, hn::Zero(DI8())), hn::Neg(x), x);
#elif HWY_TARGET == HWY_AVX2
  return Bytes{_mm256_sign_epi8(x.raw, w.raw)};
#else
  return Bytes{_mm_sign_epi8(x.raw, w.raw)};
#endif
}
HWY_INLINE Partial StartPartial(VI) { return hn::Zero(DI16()); }
HWY_INLINE VI FlushPartial(VI sum, Partial partial) { return hn::Add(sum, AddPairs(partial)); }
HWY_INLINE void AddNibbles(Partial& sum, UBytes w, Bytes x) {
  sum = hn::Add(sum, MultiplyPairs(w, x));
}
/// |w| (up to 128, as unsigned) times the sign of w on x: 2 * 128 * 127 fits 16 bits.
struct ByteOperand {
  UBytes magnitude;
  Bytes w;
};
HWY_INLINE ByteOperand PrepareBytes(UBytes w) {
  const Bytes s = hn::BitCast(DI8(), w);
  return {hn::BitCast(DU8(), hn::Abs(s)), s};
}
HWY_INLINE void AddBytes(VI& sum, ByteOperand w, Bytes x) {
  sum = hn::Add(sum, AddPairs(MultiplyPairs(w.magnitude, CopySign(x, w.w))));
}
#elif HWY_ARCH_ARM_A64
constexpr std::size_t kPartialColumns = ~std::size_t{0};
constexpr int kByteBias = 0;
using Partial = VI;
using ByteOperand = Bytes;
HWY_INLINE void AddSigned(VI& sum, Bytes a, Bytes b) {
#if defined(__ARM_FEATURE_DOTPROD)
  sum.raw = vdotq_s32(sum.raw, a.raw, b.raw);
#else
  const int16x8_t low = vmull_s8(vget_low_s8(a.raw), vget_low_s8(b.raw));
  const int16x8_t high = vmull_high_s8(a.raw, b.raw);
  sum.raw = vaddq_s32(sum.raw, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
}
HWY_INLINE Partial StartPartial(VI sum) { return sum; }
HWY_INLINE VI FlushPartial(VI, Partial partial) { return partial; }
HWY_INLINE void AddNibbles(Partial& sum, UBytes w, Bytes x) {
  AddSigned(sum, hn::BitCast(DI8(), w), x);
}
HWY_INLINE ByteOperand PrepareBytes(UBytes w) { return hn::BitCast(DI8(), w); }
HWY_INLINE void AddBytes(VI& sum, ByteOperand w, Bytes x) { AddSigned(sum, w, x); }
#else
#error \
    "qompose: kernels/simd-inl.hpp: no dot product for this target; add it to HWY_DISABLED_TARGETS"
#endif

/// N numbers of `Format` as floats.
template <class Format>
HWY_INLINE VF LoadFloats(const std::uint8_t* p) {
  if constexpr (std::is_same_v<Format, fp32>) {
    return hn::LoadU(DF(), reinterpret_cast<const float*>(p));
  } else if constexpr (std::is_same_v<Format, fp16>) {
    const hn::Rebind<hwy::float16_t, DF> half;
    return hn::PromoteTo(DF(), hn::LoadU(half, reinterpret_cast<const hwy::float16_t*>(p)));
  } else {
    static_assert(std::is_base_of_v<bf16, Format>);
    const hn::Rebind<std::uint16_t, DF> half;
    const hn::Rebind<std::uint32_t, DF> word;
    const auto bits = hn::LoadU(half, reinterpret_cast<const std::uint16_t*>(p));
    return hn::BitCast(DF(), hn::ShiftLeft<16>(hn::PromoteTo(word, bits)));
  }
}
template <class Format>
constexpr std::size_t kFormatBytes = sizeof(typename Format::storage_type);

/// The first `count` of the N lanes, or all.
HWY_INLINE void StoreFirst(VF v, float* p, std::size_t count) {
  if (HWY_LIKELY(count >= N)) {
    hn::StoreU(v, DF(), p);
    return;
  }
  float lanes[N];
  hn::StoreU(v, DF(), lanes);
  std::memcpy(p, lanes, count * sizeof(float));
}
/// The first `count` of N floats, the others 0.
HWY_INLINE VF LoadFirst(const float* p, std::size_t count) {
  if (HWY_LIKELY(count >= N)) return hn::LoadU(DF(), p);
  float lanes[N] = {};
  std::memcpy(lanes, p, count * sizeof(float));
  return hn::LoadU(DF(), lanes);
}

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
