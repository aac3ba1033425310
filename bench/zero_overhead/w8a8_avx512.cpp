// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief int8 per channel times int8 per token, by hand, with AVX-512 VNNI.

#if defined(__x86_64__)
#include <algorithm>

#include "zero_overhead/avx512_activations.hpp"
#include "zero_overhead/avx512_products.hpp"

namespace qompose_bench {
namespace avx512 {

/// One token: four panels, a quarter of the matrix apart, so that memory sees four long streams.
QOMPOSE_BENCH_AVX512 void w8a8_token(const hand_weights& w, float* y, const hand_scratch& s) {
  const std::size_t quarter = w.n_panels() / 4;
  const std::size_t apart = quarter * w.cols * 16;
  const auto* scales = reinterpret_cast<const float*>(w.scales);
  const __m512 x_scale = _mm512_set1_ps(s.scales[0]);
  std::int32_t code_sum = 0;
  for (std::size_t g = 0; g < w.groups(); ++g) code_sum += s.sums[g];
  for (std::size_t p = 0; p < quarter; ++p) {
    const std::uint8_t* codes = w.panels + p * w.cols * 16;
    __m512i sums[4];
    each<4>([&](auto j)
                QOMPOSE_BENCH_AVX512_LAMBDA { sums[j] = _mm512_set1_epi32(-128 * code_sum); });
    for (std::size_t c = 0; c < w.cols; c += 16, codes += 256) {
      each<4>([&](auto u) QOMPOSE_BENCH_AVX512_LAMBDA {
        const __m512i quad = broadcast(s.tiles.data() + c + 4 * u);
        each<4>([&](auto j) QOMPOSE_BENCH_AVX512_LAMBDA {
          dot(sums[j], load(codes + j * apart + 64 * u), quad);
        });
      });
    }
    each<4>([&](auto j) QOMPOSE_BENCH_AVX512_LAMBDA {
      const std::size_t row = (p + j * quarter) * 16;
      _mm512_storeu_ps(y + row,
                       _mm512_mul_ps(_mm512_cvtepi32_ps(sums[j]),
                                     _mm512_mul_ps(_mm512_loadu_ps(scales + row), x_scale)));
    });
  }
}

/// Many tokens: two panels stay in L2 while a block of tokens passes by.
QOMPOSE_BENCH_AVX512 void w8a8_tokens(const hand_weights& w, std::size_t n_tokens, float* y,
                                      const hand_scratch& s) {
  const std::size_t tiles = (n_tokens + tile_tokens - 1) / tile_tokens;
  constexpr std::size_t together = block_tokens / tile_tokens;
  for (std::size_t t = 0; t < tiles; t += together) {
    for (std::size_t p = 0; p < w.n_panels(); p += 2) {
      multiply_bytes(w, p, w.panels + p * w.cols * 16, w.cols * 16, 64,
                     reinterpret_cast<const float*>(w.scales), t, std::min(t + together, tiles),
                     n_tokens, y, s);
    }
  }
}

}  // namespace avx512

hand_loop w8a8_avx512() {
  return {"AVX-512 VNNI", avx512::runs_here(),
          &run_layer<nullptr, avx512::quantize, avx512::w8a8_token, avx512::w8a8_tokens>};
}

}  // namespace qompose_bench
#endif
