// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Inner loops with AVX-512 VNNI that two of the compositions have in common.

#include "zero_overhead/avx512.hpp"
#include "zero_overhead/hand_loop.hpp"

namespace qompose_bench::avx512 {

/// Dot products of a group of 4-bit fields of a panel with one token.
///
/// Panels are read one after the other, and nothing is prefetched. Two panels half a matrix apart,
/// which share broadcasts, are read from the last cache up to a fifth slower on Zen 4 where scales
/// stand in the panels, and from memory 3 % faster. Upper fields are multiplied where they are,
/// sixteenfold, which saves a shift a vector. Codes of tokens are broadcast on their way into a
/// product, and four sums, as each product waits for the sum before it, keep the unit for products
/// busy.
/// @param start  what the sums start at
QOMPOSE_BENCH_AVX512_INLINE __m512i dot_fields(const std::uint8_t* w, const std::int8_t* x,
                                               __m512i start) {
  const __m512i lower = _mm512_set1_epi8(15);
  const __m512i upper = _mm512_set1_epi8(-16);
  __m512i sums[2] = {start, _mm512_setzero_si512()};
  __m512i sixteenfold[2] = {};
  for (std::size_t c = 0; c < hand_group; c += 64, w += 512, x += 64) {
    each<8>([&](auto u) QOMPOSE_BENCH_AVX512_LAMBDA {
      const __m512i fields = load_once(w + 64 * u);
      dot_quad(sums[u % 2], _mm512_and_si512(fields, lower), x + 8 * u);
      dot_quad(sixteenfold[u % 2], _mm512_and_si512(fields, upper), x + 8 * u + 4);
    });
  }
  return _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]),
                          _mm512_srai_epi32(_mm512_add_epi32(sixteenfold[0], sixteenfold[1]), 4));
}

/// sums[j][m] += the dot products of panel j of two with token m of a tile.
/// @param panel  bytes from one panel's quad to the other's
/// @param quad   bytes from one quad of a panel to its next
QOMPOSE_BENCH_AVX512_INLINE void dot_bytes(const std::uint8_t* w, std::size_t panel,
                                           std::size_t quad, const std::int8_t* x, std::size_t cols,
                                           __m512i (&sums)[2][tile_tokens]) {
  // Copies, for g++ keeps in memory what it knows by reference.
  __m512i top[tile_tokens];
  __m512i bottom[tile_tokens];
  each<tile_tokens>([&](auto m) QOMPOSE_BENCH_AVX512_LAMBDA {
    top[m] = sums[0][m];
    bottom[m] = sums[1][m];
  });
  for (std::size_t c = 0; c < cols; c += 8, w += 2 * quad, x += 8 * tile_tokens) {
    each<2>([&](auto u) QOMPOSE_BENCH_AVX512_LAMBDA {
      const __m512i first = load(w + u * quad);
      const __m512i second = load(w + u * quad + panel);
      each<tile_tokens>([&](auto m) QOMPOSE_BENCH_AVX512_LAMBDA {
        const __m512i codes = broadcast(x + 4 * (u * tile_tokens + m));
        dot(top[m], first, codes);
        dot(bottom[m], second, codes);
      });
    });
  }
  each<tile_tokens>([&](auto m) QOMPOSE_BENCH_AVX512_LAMBDA {
    sums[0][m] = top[m];
    sums[1][m] = bottom[m];
  });
}

/// Two panels of bytes, weights plus 128, times all tokens of tiles [first_tile, last_tile).
QOMPOSE_BENCH_AVX512_INLINE void multiply_bytes(const hand_weights& w, std::size_t p,
                                                const std::uint8_t* bytes, std::size_t panel,
                                                std::size_t quad, const float* row_scales,
                                                std::size_t first_tile, std::size_t last_tile,
                                                std::size_t n_tokens, float* y,
                                                const hand_scratch& s) {
  const __m512 scales[2] = {_mm512_loadu_ps(row_scales + p * 16),
                            _mm512_loadu_ps(row_scales + p * 16 + 16)};
  for (std::size_t t = first_tile; t < last_tile; ++t) {
    // A row of codes meets the 128 of each weight.
    __m256i code_sums = _mm256_setzero_si256();
    for (std::size_t g = 0; g < w.groups(); ++g) {
      code_sums = _mm256_add_epi32(code_sums,
                                   avx2::load(s.sums.data() + (t * w.groups() + g) * tile_tokens));
    }
    alignas(32) std::int32_t starts[tile_tokens];
    avx2::store(starts, _mm256_slli_epi32(_mm256_sub_epi32(_mm256_setzero_si256(), code_sums), 7));
    __m512i sums[2][tile_tokens];
    each<tile_tokens>([&](auto m) QOMPOSE_BENCH_AVX512_LAMBDA {
      sums[0][m] = _mm512_set1_epi32(starts[m]);
      sums[1][m] = sums[0][m];
    });
    dot_bytes(bytes, panel, quad, s.tiles.data() + t * tile_tokens * w.cols, w.cols, sums);
    each<tile_tokens>([&](auto m) QOMPOSE_BENCH_AVX512_LAMBDA {
      const std::size_t token = t * tile_tokens + m;
      if (token >= n_tokens) return;
      const __m512 x_scale = _mm512_set1_ps(s.scales[token]);
      each<2>([&](auto j) QOMPOSE_BENCH_AVX512_LAMBDA {
        _mm512_storeu_ps(
            y + token * w.rows + (p + j) * 16,
            _mm512_mul_ps(_mm512_cvtepi32_ps(sums[j][m]), _mm512_mul_ps(scales[j], x_scale)));
      });
    });
  }
}

}  // namespace qompose_bench::avx512
