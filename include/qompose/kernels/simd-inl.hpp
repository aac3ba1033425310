// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Vector types and what is done with bytes, for the target at hand.

#if defined(QOMPOSE_KERNELS_SIMD_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_SIMD_INL_HPP_
#undef QOMPOSE_KERNELS_SIMD_INL_HPP_
#else
#define QOMPOSE_KERNELS_SIMD_INL_HPP_
#endif

#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#include "qompose/formats/e8m0.hpp"
#include "qompose/formats/int_n.hpp"
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

/// Whether a multiply-add is one instruction, rounded once.
#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2) || HWY_ARCH_ARM_A64
constexpr bool kFused = true;
#else
constexpr bool kFused = false;
#endif

template <class F, std::size_t... I>
HWY_INLINE void UnrollSequence(std::index_sequence<I...>, F&& f) {
  (f(std::integral_constant<std::size_t, I>()), ...);
}
/// f(0), ..., f(n - 1) with compile-time arguments, so that arrays of vectors stay in registers.
template <std::size_t n, class F>
HWY_INLINE void Unroll(F&& f) {
  UnrollSequence(std::make_index_sequence<n>(), f);
}

/// The same where f needs no compile-time arguments. Targets of one lane loop: code for a vector of
/// rows is long there, is seldom run, and would take half the time of compiling a layer.
template <std::size_t n, class F>
HWY_INLINE void Each(F&& f) {
#if QOMPOSE_PLAIN_TARGET
  for (std::size_t i = 0; i < n; ++i) f(i);
#else
  Unroll<n>(f);
#endif
}

/// How far on one token asks for weights, which it reads once and in the order of memory: past the
/// page at whose end a processor's own prefetchers stop. On Zen 5 one thread then reads as fast as
/// memory delivers; 2 and 4 KiB were too few. AVX2 kernels ask for less, by themselves.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
constexpr std::size_t kBytesToAskAhead = 8192;
#else
constexpr std::size_t kBytesToAskAhead = 0;
#endif

/// Asks for the bytes that stand kAhead behind w[0 .. kBytes).
template <std::size_t kBytes, std::size_t kAhead = kBytesToAskAhead>
HWY_INLINE void AskAhead([[maybe_unused]] const std::uint8_t* w) {
  if constexpr (kAhead > 0) {
    Unroll<divide_up(kBytes, 64)>([&](auto line)
                                      QOMPOSE_FLATTEN { hwy::Prefetch(w + kAhead + line * 64); });
  }
}

// A vector of 4 N bytes: lane i of the int32 sums belongs to bytes 4 i .. 4 i + 3.
#if QOMPOSE_PLAIN_TARGET
// One-lane vectors cannot be seen as four bytes, so these targets keep the bytes in an array.
struct UBytes {
  std::uint8_t lane[4 * N];
};

HWY_INLINE UBytes LoadBytes(const std::uint8_t* p) {
  UBytes v;
  std::memcpy(v.lane, p, sizeof(v.lane));
  return v;
}
HWY_INLINE void StoreBytes(UBytes v, std::uint8_t* p) { std::memcpy(p, v.lane, sizeof(v.lane)); }
/// Bits of each byte moved down by kShift (up where it is negative) and cut to kMask.
template <int kShift, int kMask>
HWY_INLINE UBytes ShiftAndMask(UBytes v) {
  for (std::uint8_t& lane : v.lane) {
    const int moved =
        kShift >= 0 ? lane >> (kShift >= 0 ? kShift : 0) : lane << (kShift >= 0 ? 0 : -kShift);
    lane = static_cast<std::uint8_t>(moved & kMask);
  }
  return v;
}
HWY_INLINE UBytes OrBytes(UBytes a, UBytes b) {
  for (std::size_t i = 0; i < 4 * N; ++i)
    a.lane[i] = static_cast<std::uint8_t>(a.lane[i] | b.lane[i]);
  return a;
}
/// Each byte plus a number, modulo 256.
template <int kNumber>
HWY_INLINE UBytes AddToBytes(UBytes v) {
  for (std::uint8_t& lane : v.lane) lane = static_cast<std::uint8_t>(lane + kNumber);
  return v;
}
/// table[v] for a table of kEntries, 16, 32 or 64.
template <std::size_t kEntries>
HWY_INLINE UBytes LookUpBytes(const std::uint8_t* table, UBytes v) {
  for (std::uint8_t& lane : v.lane) lane = table[lane];
  return v;
}
/// The bytes as words of four.
HWY_INLINE VI AsWords(UBytes v) {
  std::int32_t words[N];
  std::memcpy(words, v.lane, sizeof(words));
  return hn::LoadU(DI(), words);
}
#else
using DU8 = hn::Repartition<std::uint8_t, DF>;
using DI8 = hn::Repartition<std::int8_t, DF>;
using DI16 = hn::Repartition<std::int16_t, DF>;
using DU16 = hn::Repartition<std::uint16_t, DF>;
using Bytes = hn::Vec<DI8>;
using UBytes = hn::Vec<DU8>;

HWY_INLINE UBytes LoadBytes(const std::uint8_t* p) { return hn::LoadU(DU8(), p); }
HWY_INLINE void StoreBytes(UBytes v, std::uint8_t* p) { hn::StoreU(v, DU8(), p); }
/// Bits of each byte moved down by kShift (up where it is negative) and cut to kMask.
template <int kShift, int kMask>
HWY_INLINE UBytes ShiftAndMask(UBytes v) {
  // Shifts of 16 bits move bits between bytes; the mask drops them.
  const auto pairs = hn::BitCast(DU16(), v);
  if constexpr (kShift > 0) v = hn::BitCast(DU8(), hn::ShiftRight<kShift>(pairs));
  if constexpr (kShift < 0) v = hn::BitCast(DU8(), hn::ShiftLeft<-kShift>(pairs));
  return hn::And(v, hn::Set(DU8(), static_cast<std::uint8_t>(kMask)));
}
HWY_INLINE UBytes OrBytes(UBytes a, UBytes b) { return hn::Or(a, b); }
/// The same bytes, for compilers that would rather load them again for each of their uses.
HWY_INLINE UBytes InRegister(UBytes v) {
#if HWY_ARCH_X86 && HWY_COMPILER_GCC_ACTUAL
  asm("" : "+v"(v.raw));
#endif
  return v;
}
/// Each byte plus a number, modulo 256.
template <int kNumber>
HWY_INLINE UBytes AddToBytes(UBytes v) {
  if constexpr (kNumber == 0) return v;
  return hn::Add(v, hn::Set(DU8(), static_cast<std::uint8_t>(kNumber)));
}
/// table[v] for a table of kEntries, 16, 32 or 64.
template <std::size_t kEntries>
HWY_INLINE UBytes LookUpBytes(const std::uint8_t* table, UBytes v) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
  // Entries past kEntries are never looked up, but a table has room for 64.
  if constexpr (kEntries > 16) return UBytes{_mm512_permutexvar_epi8(v.raw, LoadBytes(table).raw)};
#endif
  const UBytes within = kEntries > 16 ? hn::And(v, hn::Set(DU8(), std::uint8_t{15})) : v;
  const auto entries = [&](std::size_t first) QOMPOSE_FLATTEN {
    return hn::TableLookupBytes(hn::LoadDup128(DU8(), table + first), within);
  };
  if constexpr (kEntries == 16) {
    return entries(0);
  } else {
    const auto has_bit = [&](std::uint8_t bit)
                             QOMPOSE_FLATTEN { return hn::TestBit(v, hn::Set(DU8(), bit)); };
    const UBytes low = hn::IfThenElse(has_bit(16), entries(16), entries(0));
    if constexpr (kEntries == 32) return low;
    if constexpr (kEntries == 64) {
      const UBytes high = hn::IfThenElse(has_bit(16), entries(48), entries(32));
      return hn::IfThenElse(has_bit(32), high, low);
    }
  }
}
/// The bytes as words of four.
HWY_INLINE VI AsWords(UBytes v) { return hn::BitCast(DI(), v); }
#endif

/// N codes as they are stored in memory, widened to 32 bits: signed codes keep their sign.
template <class Code>
HWY_INLINE VI LoadCodes(const Code* codes) {
  if constexpr (N == 1) {
    return hn::Set(DI(), static_cast<std::int32_t>(*codes));
  } else {
    const hn::Rebind<Code, DF> narrow;
    return hn::PromoteTo(DI(), hn::LoadU(narrow, codes));
  }
}

/// N numbers of `Format` as floats.
template <class Format>
HWY_INLINE VF LoadFloats(const std::uint8_t* p) {
  if constexpr (std::is_same_v<Format, e8m0>) {
    // The smallest power of two, code 0, is a subnormal float.
    const VI bits = hn::Max(hn::ShiftLeft<23>(LoadCodes(p)), hn::Set(DI(), 1 << 22));
    return hn::BitCast(DF(), bits);
  } else if constexpr (std::is_same_v<Format, uint8>) {
    return hn::ConvertTo(DF(), LoadCodes(p));
  } else if constexpr (std::is_same_v<Format, fp32>) {
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
