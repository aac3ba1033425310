// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief int4 in groups of 128 with fp16 scales times int8 per token, by hand, with AVX-512 VNNI.

#if defined(__x86_64__)
#include <algorithm>
#include <cstring>

#include "zero_overhead/avx512_activations.hpp"
#include "zero_overhead/avx512_products.hpp"
#include "zero_overhead/int4_blocks.hpp"

namespace qompose_bench {
namespace avx512 {

/// One token: all panels in the order of memory.
QOMPOSE_BENCH_AVX512 void w4a8_g128_token(const hand_weights& w, float* y, const hand_scratch& s) {
  const __m512 x_scale = _mm512_set1_ps(s.scales[0]);
  const std::uint8_t* at = w.panels;
  for (std::size_t p = 0; p < w.n_panels(); ++p) {
    __m512 total = _mm512_setzero_ps();
    for (std::size_t g = 0; g < w.groups();) {
      const std::uint8_t* scales = at;
      at += int4_blocks::head_bytes;
      const std::size_t end = std::min(g + int4_blocks::block_groups, w.groups());
      for (; g < end; ++g, scales += int4_blocks::half_bytes, at += int4_blocks::group_codes) {
        // A row of codes meets the 8 that each field has too much.
        const __m512i sum =
            dot_fields(at, s.tiles.data() + g * hand_group, _mm512_set1_epi32(-8 * s.sums[g]));
        total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), load_halves(scales), total);
      }
    }
    _mm512_storeu_ps(y + p * 16, _mm512_mul_ps(total, x_scale));
  }
}

/// One group of two panels as bytes, quad by quad, the panels beside each other.
QOMPOSE_BENCH_AVX512_INLINE void unpack_group(const std::uint8_t* w, std::size_t panel,
                                              std::uint8_t* out) {
  const __m512i mask = _mm512_set1_epi8(15);
  for (std::size_t i = 0; i < 16; ++i, w += 64, out += 256) {
    each<2>([&](auto j) QOMPOSE_BENCH_AVX512_LAMBDA {
      const __m512i fields = load(w + j * panel);
      store(out + 64 * j, _mm512_and_si512(fields, mask));
      store(out + 64 * j + 128, _mm512_and_si512(_mm512_srli_epi16(fields, 4), mask));
    });
  }
}

/// Many tokens: a group of two panels is unpacked into L1 and meets a whole block of tokens, its
/// scales in registers all the while.
QOMPOSE_BENCH_AVX512 void w4a8_g128_tokens(const hand_weights& w, std::size_t n_tokens, float* y,
                                           hand_scratch& s) {
  const std::size_t tiles = (n_tokens + tile_tokens - 1) / tile_tokens;
  const std::size_t groups = w.groups();
  const std::size_t panel_bytes = int4_blocks::panel_bytes(groups);
  constexpr std::size_t together = block_tokens / tile_tokens;
  alignas(64) std::uint8_t stage[2 * 16 * hand_group];
  for (std::size_t first = 0; first < tiles; first += together) {
    const std::size_t last = std::min(first + together, tiles);
    for (std::size_t p = 0; p < w.n_panels(); p += 2) {
      const std::uint8_t* panel = w.panels + p * panel_bytes;
      std::memset(s.totals.data(), 0, s.totals.size() * sizeof(float));
      for (std::size_t g = 0; g < groups; ++g) {
        unpack_group(panel + int4_blocks::codes_at(g), panel_bytes, stage);
        const std::uint8_t* at = panel + int4_blocks::halves_at(g);
        const __m512 scales[2] = {load_halves(at), load_halves(at + panel_bytes)};
        float* totals = s.totals.data();
        for (std::size_t t = first; t < last; ++t, totals += 32 * tile_tokens) {
          // A row of codes meets the 8 that each field has too much.
          alignas(32) std::int32_t starts[tile_tokens];
          avx2::store(starts,
                      _mm256_mullo_epi32(avx2::load(s.sums.data() + (t * groups + g) * tile_tokens),
                                         _mm256_set1_epi32(-8)));
          __m512i sums[2][tile_tokens];
          each<tile_tokens>([&](auto m) QOMPOSE_BENCH_AVX512_LAMBDA {
            sums[0][m] = _mm512_set1_epi32(starts[m]);
            sums[1][m] = sums[0][m];
          });
          dot_bytes(stage, 64, 128, s.tiles.data() + (t * w.cols + g * hand_group) * tile_tokens,
                    hand_group, sums);
          each<tile_tokens>([&](auto m) QOMPOSE_BENCH_AVX512_LAMBDA {
            each<2>([&](auto j) QOMPOSE_BENCH_AVX512_LAMBDA {
              float* total = totals + (2 * m + j) * 16;
              _mm512_store_ps(total, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[j][m]), scales[j],
                                                     _mm512_load_ps(total)));
            });
          });
        }
      }
      for (std::size_t token = first * tile_tokens; token < std::min(last * tile_tokens, n_tokens);
           ++token) {
        const float* totals = s.totals.data() + (token - first * tile_tokens) * 32;
        const __m512 x_scale = _mm512_set1_ps(s.scales[token]);
        each<2>([&](auto j) QOMPOSE_BENCH_AVX512_LAMBDA {
          _mm512_storeu_ps(y + token * w.rows + (p + j) * 16,
                           _mm512_mul_ps(_mm512_load_ps(totals + 16 * j), x_scale));
        });
      }
    }
  }
}

}  // namespace avx512

hand_loop w4a8_g128_avx512() {
  return {"AVX-512 VNNI", avx512::runs_here(),
          &run_layer<nullptr, avx512::quantize, avx512::w4a8_g128_token, avx512::w4a8_g128_tokens>};
}

}  // namespace qompose_bench
#endif
