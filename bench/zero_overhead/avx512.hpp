// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What the loops with AVX-512 VNNI share: attributes, unrolling, the dot product.

#include "zero_overhead/avx2.hpp"

#define QOMPOSE_BENCH_AVX512_SET "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c"
/// A function, an inlined function and a lambda with AVX-512 VNNI.
#define QOMPOSE_BENCH_AVX512 __attribute__((noinline, target(QOMPOSE_BENCH_AVX512_SET)))
#define QOMPOSE_BENCH_AVX512_INLINE \
  __attribute__((always_inline, target(QOMPOSE_BENCH_AVX512_SET))) inline
#define QOMPOSE_BENCH_AVX512_LAMBDA __attribute__((always_inline, target(QOMPOSE_BENCH_AVX512_SET)))

namespace qompose_bench::avx512 {

template <std::size_t... I, class F>
QOMPOSE_BENCH_AVX512_INLINE void each_of(std::index_sequence<I...>, F&& f) {
  (f(std::integral_constant<std::size_t, I>()), ...);
}
/// f(0), f(1), ..., f(count - 1), the arguments known to the compiler.
template <std::size_t count, class F>
QOMPOSE_BENCH_AVX512_INLINE void each(F&& f) {
  each_of(std::make_index_sequence<count>(), f);
}

QOMPOSE_BENCH_AVX512_INLINE __m512i load(const void* p) { return _mm512_loadu_si512(p); }
/// A vector that two instructions need: g++ would load it for each of them.
QOMPOSE_BENCH_AVX512_INLINE __m512i load_once(const void* p) {
  __m512i v = load(p);
#if defined(__GNUC__) && !defined(__clang__)
  asm("" : "+v"(v));
#endif
  return v;
}
QOMPOSE_BENCH_AVX512_INLINE void store(void* p, __m512i v) { _mm512_storeu_si512(p, v); }
/// Four codes of a token, for every row.
QOMPOSE_BENCH_AVX512_INLINE __m512i broadcast(const std::int8_t* quad) {
  std::int32_t word;
  std::memcpy(&word, quad, sizeof(word));
  return _mm512_set1_epi32(word);
}
/// sum += w . x, four unsigned bytes by four signed ones.
QOMPOSE_BENCH_AVX512_INLINE void dot(__m512i& sum, __m512i w, __m512i x) {
#if defined(__GNUC__) && !defined(__clang__)
  // With the intrinsic g++ 12 moves the sums through the stack.
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(w), "v"(x));
#else
  sum = _mm512_dpbusd_epi32(sum, w, x);
#endif
}
/// The same with four codes of a token, for every row, which the instruction broadcasts.
QOMPOSE_BENCH_AVX512_INLINE void dot_quad(__m512i& sum, __m512i w, const std::int8_t* quad) {
#if defined(__GNUC__) && !defined(__clang__)
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(w), "m"(*reinterpret_cast<const std::int8_t(*)[4]>(quad)));
#else
  dot(sum, w, broadcast(quad));
#endif
}
/// Sixteen bytes, zero-extended.
QOMPOSE_BENCH_AVX512_INLINE __m512i load_small(const std::uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
/// Sixteen fp16 numbers.
QOMPOSE_BENCH_AVX512_INLINE __m512 load_halves(const std::uint8_t* p) {
  return _mm512_cvtph_ps(avx2::load(p));
}

inline bool runs_here() {
  return avx2::runs_here() && __builtin_cpu_supports("avx512f") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}

}  // namespace qompose_bench::avx512
