// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A token is rotated, and becomes int8 codes with a scale; with AVX-512.

#include <cstring>

#include "zero_overhead/avx512.hpp"
#include "zero_overhead/layer.hpp"

namespace qompose_bench::avx512 {

/// Stage of a Walsh-Hadamard transform within vectors: each lane's partner plus or minus the lane;
/// products with +-1 are exact.
template <int stride>
QOMPOSE_BENCH_AVX512_INLINE __m512 butterfly(__m512 v, __m512 signs) {
  if constexpr (stride == 1) {
    return _mm512_fmadd_ps(v, signs, _mm512_permute_ps(v, 0xb1));
  } else if constexpr (stride == 2) {
    return _mm512_fmadd_ps(v, signs, _mm512_permute_ps(v, 0x4e));
  } else if constexpr (stride == 4) {
    return _mm512_fmadd_ps(v, signs, _mm512_shuffle_f32x4(v, v, 0xb1));
  } else {
    return _mm512_fmadd_ps(v, signs, _mm512_shuffle_f32x4(v, v, 0x4e));
  }
}
/// -1 where a bit is set, 1 elsewhere.
QOMPOSE_BENCH_AVX512_INLINE __m512 signs_of(__mmask16 minus) {
  return _mm512_mask_blend_ps(minus, _mm512_set1_ps(1.0f), _mm512_set1_ps(-1.0f));
}

/// Blocks of 128 numbers, rotated: strides 1, 2, ..., 64, then one product with 1 / sqrt(128).
QOMPOSE_BENCH_AVX512 inline void rotate(const float* x, std::size_t cols, float* out) {
  const __m512 factor = _mm512_set1_ps(0x1.6a09e6p-4f);
  const __m512 signs[4] = {signs_of(0xaaaa), signs_of(0xcccc), signs_of(0xf0f0), signs_of(0xff00)};
  for (std::size_t c = 0; c < cols; c += hand_group) {
    __m512 v[8];
    each<8>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA { v[i] = _mm512_loadu_ps(x + c + 16 * i); });
    each<8>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA { v[i] = butterfly<1>(v[i], signs[0]); });
    each<8>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA { v[i] = butterfly<2>(v[i], signs[1]); });
    each<8>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA { v[i] = butterfly<4>(v[i], signs[2]); });
    each<8>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA { v[i] = butterfly<8>(v[i], signs[3]); });
    const auto between = [&](auto stride) QOMPOSE_BENCH_AVX512_LAMBDA {
      each<4>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA {
        constexpr std::size_t s = decltype(stride)::value;
        constexpr std::size_t at = i / s * 2 * s + i % s;
        const __m512 a = v[at];
        v[at] = _mm512_add_ps(a, v[at + s]);
        v[at + s] = _mm512_sub_ps(a, v[at + s]);
      });
    };
    between(std::integral_constant<std::size_t, 1>());
    between(std::integral_constant<std::size_t, 2>());
    between(std::integral_constant<std::size_t, 4>());
    each<8>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA {
      _mm512_storeu_ps(out + c + 16 * i, _mm512_mul_ps(v[i], factor));
    });
  }
}

/// What a true division gives: with r nearest to 1 / d and q to x r, the remainder x - q d is exact
/// in a fused product, and q + remainder r rounds to the quotient (Markstein, "Computation of
/// elementary functions", IBM Journal 34, 1990, theorem 8.3) as long as nothing is subnormal.
template <bool by_reciprocal>
QOMPOSE_BENCH_AVX512_INLINE __m512 divide(__m512 x, __m512 divisor, __m512 reciprocal) {
  if constexpr (!by_reciprocal) return _mm512_div_ps(x, divisor);
  const __m512 q = _mm512_mul_ps(x, reciprocal);
  return _mm512_fmadd_ps(_mm512_fnmadd_ps(q, divisor, x), reciprocal, q);
}

template <bool by_reciprocal>
QOMPOSE_BENCH_AVX512_INLINE void encode(const float* x, std::size_t cols, float scale,
                                        std::int8_t* codes) {
  const __m512 divisor = _mm512_set1_ps(scale);
  const __m512 reciprocal = _mm512_set1_ps(1.0f / scale);
  // Packing works within lanes of 16 bytes.
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  for (std::size_t c = 0; c < cols; c += 64) {
    __m512i v[4];
    each<4>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA {
      v[i] = _mm512_cvtps_epi32(
          divide<by_reciprocal>(_mm512_loadu_ps(x + c + 16 * i), divisor, reciprocal));
    });
    const __m512i bytes =
        _mm512_packs_epi16(_mm512_packs_epi32(v[0], v[1]), _mm512_packs_epi32(v[2], v[3]));
    // Only a scale among the subnormals can give -128.
    const __m512i clamped = _mm512_max_epi8(bytes, _mm512_set1_epi8(-127));
    store(codes + c, _mm512_permutexvar_epi32(order, clamped));
  }
}

/// Codes of one token: the largest magnitude at 127, nearest even after a true division.
/// @return the scale, see scale_of
QOMPOSE_BENCH_AVX512 inline float quantize(const float* x, std::size_t cols, std::int8_t* codes) {
  const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
  __m512i tops[4] = {};
  for (std::size_t c = 0; c < cols; c += 64) {
    each<4>([&](auto i) QOMPOSE_BENCH_AVX512_LAMBDA {
      tops[i] = _mm512_max_epi32(tops[i], _mm512_and_si512(load(x + c + 16 * i), magnitude));
    });
  }
  const std::int32_t top = _mm512_reduce_max_epi32(
      _mm512_max_epi32(_mm512_max_epi32(tops[0], tops[1]), _mm512_max_epi32(tops[2], tops[3])));
  const auto [scale, has_codes] = scale_of(top);
  if (!has_codes) {
    std::memset(codes, 0, cols);
    return scale;
  }
  if (scale > 0x1p-90f && scale < 0x1p90f) {
    encode<true>(x, cols, scale, codes);
  } else {
    encode<false>(x, cols, scale, codes);
  }
  return scale;
}

}  // namespace qompose_bench::avx512
