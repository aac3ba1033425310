// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief int8 per channel times int8 per token, by hand, with AVX2.

#if defined(__x86_64__)
#include <algorithm>

#include "zero_overhead/avx2_activations.hpp"
#include "zero_overhead/avx2_products.hpp"

namespace qompose_bench {
namespace avx2 {

/// One token: two panels, half a matrix apart.
QOMPOSE_BENCH_AVX2 void w8a8_token(const hand_weights& w, float* y, const hand_scratch& s) {
  const std::size_t middle = w.n_panels() / 2;
  const auto* scales = reinterpret_cast<const float*>(w.scales);
  const __m256 x_scale = _mm256_set1_ps(s.scales[0]);
  const __m256i flip = _mm256_set1_epi8(-128);
  for (std::size_t p = 0; p < middle; ++p) {
    const std::uint8_t* codes = w.panels + p * w.cols * 16;
    __m256i sums[4] = {};
    for (std::size_t c = 0; c < w.cols; c += 8, codes += 128) {
      each<2>([&](auto u) QOMPOSE_BENCH_AVX2_LAMBDA {
        const __m256i quad = broadcast(s.tiles.data() + c + 4 * u);
        each<4>([&](auto j) QOMPOSE_BENCH_AVX2_LAMBDA {
          const std::uint8_t* at = codes + j / 2 * (middle * w.cols * 16) + 64 * u + 32 * (j % 2);
          const __m256i weights = _mm256_xor_si256(load(at), flip);
          sums[j] = dot(sums[j], weights, _mm256_abs_epi8(weights), quad);
        });
      });
    }
    each<4>([&](auto j) QOMPOSE_BENCH_AVX2_LAMBDA {
      const std::size_t row = (p + j / 2 * middle) * 16 + 8 * (j % 2);
      _mm256_storeu_ps(y + row,
                       _mm256_mul_ps(_mm256_cvtepi32_ps(sums[j]),
                                     _mm256_mul_ps(_mm256_loadu_ps(scales + row), x_scale)));
    });
  }
}

/// One panel times half a tile of tokens.
QOMPOSE_BENCH_AVX2_INLINE void multiply_half(const hand_weights& w, std::size_t p,
                                             std::size_t first_token, std::size_t n_tokens,
                                             float* y, const hand_scratch& s) {
  const auto* scales = reinterpret_cast<const float*>(w.scales);
  const __m256i flip = _mm256_set1_epi8(-128);
  const std::uint8_t* codes = w.panels + p * w.cols * 16;
  const std::int8_t* x = s.tiles.data() + first_token / tile_tokens * tile_tokens * w.cols +
                         4 * (first_token % tile_tokens);
  __m256i upper[half_tile] = {};
  __m256i lower[half_tile] = {};
  for (std::size_t c = 0; c < w.cols; c += 4, codes += 64, x += 4 * tile_tokens) {
    const __m256i first = _mm256_xor_si256(load(codes), flip);
    const __m256i second = _mm256_xor_si256(load(codes + 32), flip);
    const __m256i first_size = _mm256_abs_epi8(first);
    const __m256i second_size = _mm256_abs_epi8(second);
    each<half_tile>([&](auto m) QOMPOSE_BENCH_AVX2_LAMBDA {
      const __m256i quad = broadcast(x + 4 * m);
      upper[m] = dot(upper[m], first, first_size, quad);
      lower[m] = dot(lower[m], second, second_size, quad);
    });
  }
  each<half_tile>([&](auto m) QOMPOSE_BENCH_AVX2_LAMBDA {
    const std::size_t token = first_token + m;
    if (token >= n_tokens) return;
    const __m256 x_scale = _mm256_set1_ps(s.scales[token]);
    each<2>([&](auto j) QOMPOSE_BENCH_AVX2_LAMBDA {
      const std::size_t row = p * 16 + 8 * j;
      _mm256_storeu_ps(y + token * w.rows + row,
                       _mm256_mul_ps(_mm256_cvtepi32_ps(j == 0 ? upper[m] : lower[m]),
                                     _mm256_mul_ps(_mm256_loadu_ps(scales + row), x_scale)));
    });
  });
}

/// Many tokens: a panel stays in L2 while a block of tokens passes by.
QOMPOSE_BENCH_AVX2 void w8a8_tokens(const hand_weights& w, std::size_t n_tokens, float* y,
                                    const hand_scratch& s) {
  for (std::size_t first = 0; first < n_tokens; first += block_tokens) {
    const std::size_t last = std::min(first + block_tokens, n_tokens);
    for (std::size_t p = 0; p < w.n_panels(); ++p) {
      for (std::size_t t = first; t < last; t += half_tile) {
        multiply_half(w, p, t, n_tokens, y, s);
      }
    }
  }
}

}  // namespace avx2

hand_loop w8a8_avx2() {
  return {"AVX2", avx2::runs_here(),
          &run_layer<nullptr, avx2::quantize, avx2::w8a8_token, avx2::w8a8_tokens>};
}

}  // namespace qompose_bench
#endif
