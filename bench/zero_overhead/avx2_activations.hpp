// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A token is rotated, and becomes int8 codes with a scale; with AVX2.

#include <cstring>

#include "zero_overhead/avx2.hpp"
#include "zero_overhead/layer.hpp"

namespace qompose_bench::avx2 {

/// (a, b) -> (a + b, a - b) between vectors `stride` apart.
template <std::size_t stride>
QOMPOSE_BENCH_AVX2_INLINE void between(__m256 (&v)[8]) {
  each<4>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
    constexpr std::size_t at = i / stride * 2 * stride + i % stride;
    const __m256 a = v[at];
    v[at] = _mm256_add_ps(a, v[at + stride]);
    v[at + stride] = _mm256_sub_ps(a, v[at + stride]);
  });
}

/// Blocks of 128 numbers, rotated: strides 1, 2, ..., 64, then one product with 1 / sqrt(128).
QOMPOSE_BENCH_AVX2 inline void rotate(const float* x, std::size_t cols, float* out) {
  const __m256 factor = _mm256_set1_ps(0x1.6a09e6p-4f);
  const __m256 ones = _mm256_setr_ps(1, -1, 1, -1, 1, -1, 1, -1);
  const __m256 twos = _mm256_setr_ps(1, 1, -1, -1, 1, 1, -1, -1);
  const __m256 fours = _mm256_setr_ps(1, 1, 1, 1, -1, -1, -1, -1);
  for (std::size_t c = 0; c < cols; c += 64) {
    __m256 v[8];
    each<8>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA { v[i] = _mm256_loadu_ps(x + c + 8 * i); });
    // Partner plus or minus the lane; products with +-1 are exact.
    each<8>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
      v[i] = _mm256_fmadd_ps(v[i], ones, _mm256_permute_ps(v[i], 0xb1));
      v[i] = _mm256_fmadd_ps(v[i], twos, _mm256_permute_ps(v[i], 0x4e));
      v[i] = _mm256_fmadd_ps(v[i], fours, _mm256_permute2f128_ps(v[i], v[i], 1));
    });
    between<1>(v);
    between<2>(v);
    between<4>(v);
    if (c % hand_group == 0) {
      each<8>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA { _mm256_storeu_ps(out + c + 8 * i, v[i]); });
    } else {
      each<8>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
        float* first = out + c - 64 + 8 * i;
        const __m256 a = _mm256_loadu_ps(first);
        _mm256_storeu_ps(first, _mm256_mul_ps(_mm256_add_ps(a, v[i]), factor));
        _mm256_storeu_ps(first + 64, _mm256_mul_ps(_mm256_sub_ps(a, v[i]), factor));
      });
    }
  }
}

/// Codes of one token: the largest magnitude at 127, nearest even after a true division.
/// @return the scale, see scale_of
QOMPOSE_BENCH_AVX2 inline float quantize(const float* x, std::size_t cols, std::int8_t* codes) {
  const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
  __m256i tops[4] = {};
  for (std::size_t c = 0; c < cols; c += 32) {
    each<4>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
      tops[i] = _mm256_max_epi32(tops[i], _mm256_and_si256(load(x + c + 8 * i), magnitude));
    });
  }
  alignas(32) std::int32_t lanes[8];
  store(lanes,
        _mm256_max_epi32(_mm256_max_epi32(tops[0], tops[1]), _mm256_max_epi32(tops[2], tops[3])));
  std::int32_t top = 0;
  for (const std::int32_t lane : lanes) top = lane > top ? lane : top;
  const auto [scale, has_codes] = scale_of(top);
  if (!has_codes) {
    std::memset(codes, 0, cols);
    return scale;
  }
  const __m256 divisor = _mm256_set1_ps(scale);
  // Packing works within halves.
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  for (std::size_t c = 0; c < cols; c += 32) {
    __m256i v[4];
    each<4>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
      v[i] = _mm256_cvtps_epi32(_mm256_div_ps(_mm256_loadu_ps(x + c + 8 * i), divisor));
    });
    const __m256i bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(v[0], v[1]), _mm256_packs_epi32(v[2], v[3]));
    // Only a scale among the subnormals can give -128.
    const __m256i clamped = _mm256_max_epi8(bytes, _mm256_set1_epi8(-127));
    store(codes + c, _mm256_permutevar8x32_epi32(clamped, order));
  }
  return scale;
}

}  // namespace qompose_bench::avx2
