// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What the loops with AVX2 share: attributes, unrolling, dot products of bytes.
///
/// Functions carry their instruction set as an attribute, so that no flag reaches what headers
/// define for everybody.

#if defined(__GNUC__) && !defined(__clang__)
// g++ 12 takes for uninitialized what its intrinsics leave undefined on purpose.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#define QOMPOSE_BENCH_AVX2_SET "avx2,fma,f16c"
/// A function, an inlined function and a lambda with AVX2.
#define QOMPOSE_BENCH_AVX2 __attribute__((noinline, target(QOMPOSE_BENCH_AVX2_SET)))
#define QOMPOSE_BENCH_AVX2_INLINE \
  __attribute__((always_inline, target(QOMPOSE_BENCH_AVX2_SET))) inline
#define QOMPOSE_BENCH_AVX2_LAMBDA __attribute__((always_inline, target(QOMPOSE_BENCH_AVX2_SET)))

namespace qompose_bench::avx2 {

template <std::size_t... I, class F>
QOMPOSE_BENCH_AVX2_INLINE void each_of(std::index_sequence<I...>, F&& f) {
  (f(std::integral_constant<std::size_t, I>()), ...);
}
/// f(0), f(1), ..., f(count - 1), the arguments known to the compiler.
template <std::size_t count, class F>
QOMPOSE_BENCH_AVX2_INLINE void each(F&& f) {
  each_of(std::make_index_sequence<count>(), f);
}

QOMPOSE_BENCH_AVX2_INLINE __m256i load(const void* p) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(p));
}
QOMPOSE_BENCH_AVX2_INLINE void store(void* p, __m256i v) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), v);
}
/// Four codes of a token, for every row.
QOMPOSE_BENCH_AVX2_INLINE __m256i broadcast(const std::int8_t* quad) {
  std::int32_t word;
  std::memcpy(&word, quad, sizeof(word));
  return _mm256_set1_epi32(word);
}
/// sum + the sums of neighbouring words.
QOMPOSE_BENCH_AVX2_INLINE __m256i add_pairs(__m256i sum, __m256i words) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
}
/// pairs += w . x in 16 bits, w unsigned.
QOMPOSE_BENCH_AVX2_INLINE void add_products(__m256i& pairs, __m256i w, __m256i x) {
#if defined(__GNUC__) && !defined(__clang__)
  // Left alone, g++ adds products up in trees and spills their leaves.
  __m256i products;
  asm("vpmaddubsw %3, %2, %1\n\tvpaddw %1, %0, %0" : "+x"(pairs), "=&x"(products) : "x"(w), "x"(x));
#else
  pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(w, x));
#endif
}
/// sum + signed w . x: with |w| at most 128 and |x| at most 127 two products fit 16 bits.
QOMPOSE_BENCH_AVX2_INLINE __m256i dot(__m256i sum, __m256i w, __m256i magnitude, __m256i x) {
  return add_pairs(sum, _mm256_maddubs_epi16(magnitude, _mm256_sign_epi8(x, w)));
}
QOMPOSE_BENCH_AVX2_INLINE std::int32_t sum_of_lanes(__m256i v) {
  __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
  s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/// Eight rows of eight words become the eight columns, one after the other.
QOMPOSE_BENCH_AVX2_INLINE void transpose(const std::int8_t* rows, std::size_t stride,
                                         std::int8_t* out) {
  __m256i r[8];
  each<8>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA { r[i] = load(rows + i * stride); });
  __m256i pairs[8];
  each<4>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
    pairs[2 * i] = _mm256_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    pairs[2 * i + 1] = _mm256_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  });
  __m256i fours[8];
  each<4>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
    constexpr std::size_t from = i / 2 * 4 + i % 2;
    fours[2 * i] = _mm256_unpacklo_epi64(pairs[from], pairs[from + 2]);
    fours[2 * i + 1] = _mm256_unpackhi_epi64(pairs[from], pairs[from + 2]);
  });
  each<4>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
    store(out + 32 * i, _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x20));
    store(out + 32 * (i + 4), _mm256_permute2x128_si256(fours[i], fours[i + 4], 0x31));
  });
}

/// Every processor with AVX2 has F16C, which clang 14 cannot ask for.
inline bool runs_here() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

}  // namespace qompose_bench::avx2
