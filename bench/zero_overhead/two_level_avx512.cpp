// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Two-level weights (QServe) times int8 per token, both rotated in blocks of 128, by hand,
///        with AVX-512 VNNI.

#if defined(__x86_64__)
#include <algorithm>

#include "zero_overhead/avx512_activations.hpp"
#include "zero_overhead/avx512_products.hpp"
#include "zero_overhead/int4_blocks.hpp"

namespace qompose_bench {
namespace avx512 {

/// One token: all panels in the order of memory; rows are summed in integers.
QOMPOSE_BENCH_AVX512 void two_level_token(const hand_weights& w, float* y, const hand_scratch& s) {
  const __m512 x_scale = _mm512_set1_ps(s.scales[0]);
  const std::uint8_t* at = w.panels;
  for (std::size_t row = 0; row < w.rows; row += 16) {
    __m512i total = _mm512_setzero_si512();
    for (std::size_t g = 0; g < w.groups();) {
      const std::uint8_t* scales = at;
      at += int4_blocks::head_bytes;
      const std::size_t end = std::min(g + int4_blocks::block_groups, w.groups());
      for (; g < end; ++g, scales += int4_blocks::small_bytes, at += int4_blocks::group_codes) {
        const std::uint8_t* zeros = scales + int4_blocks::block_groups * int4_blocks::small_bytes;
        const __m512i start = _mm512_mullo_epi32(load_small(zeros), _mm512_set1_epi32(-s.sums[g]));
        const __m512i sum = dot_fields(at, s.tiles.data() + g * hand_group, start);
        total = _mm512_add_epi32(total, _mm512_mullo_epi32(sum, load_small(scales)));
      }
    }
    _mm512_storeu_ps(y + row,
                     _mm512_mul_ps(_mm512_cvtepi32_ps(total),
                                   _mm512_mul_ps(_mm512_loadu_ps(w.row_scales + row), x_scale)));
  }
}

/// A panel as what its two inner levels make of the codes, plus 128: bytes, by the format's
/// promise. Quads are 128 bytes apart.
QOMPOSE_BENCH_AVX512_INLINE void expand_panel(const hand_weights& w, std::size_t p,
                                              std::uint8_t* out) {
  const __m512i mask = _mm512_set1_epi8(15);
  const __m512i even = _mm512_set1_epi16(255);
  const std::uint8_t* panel = w.panels + p * int4_blocks::panel_bytes(w.groups());
  for (std::size_t g = 0; g < w.groups(); ++g) {
    const std::uint8_t* codes = panel + int4_blocks::codes_at(g);
    const __m512i scale = load_small(panel + int4_blocks::scales_at(g));
    const __m512i scales = _mm512_or_si512(scale, _mm512_slli_epi32(scale, 16));
    // code * scale + (128 - zero * scale), modulo 256, in each byte.
    const __m512i offset =
        _mm512_sub_epi32(_mm512_set1_epi32(128),
                         _mm512_mullo_epi32(scale, load_small(panel + int4_blocks::zeros_at(g))));
    const __m512i offsets = _mm512_shuffle_epi8(
        offset, _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0x00000000));
    const auto expand = [&](__m512i fields) QOMPOSE_BENCH_AVX512_LAMBDA {
      const __m512i low = _mm512_mullo_epi16(_mm512_and_si512(fields, even), scales);
      const __m512i high = _mm512_mullo_epi16(_mm512_andnot_si512(even, fields), scales);
      return _mm512_add_epi8(_mm512_ternarylogic_epi32(even, low, high, 0xca), offsets);
    };
    for (std::size_t i = 0; i < 16; ++i, codes += 64, out += 256) {
      const __m512i fields = load(codes);
      store(out, expand(_mm512_and_si512(fields, mask)));
      store(out + 128, expand(_mm512_and_si512(_mm512_srli_epi16(fields, 4), mask)));
    }
  }
}

/// Many tokens: two panels become bytes, which stay in L2 while a block of tokens passes by; the
/// inner levels cost the products nothing.
QOMPOSE_BENCH_AVX512 void two_level_tokens(const hand_weights& w, std::size_t n_tokens, float* y,
                                           hand_scratch& s) {
  const std::size_t tiles = (n_tokens + tile_tokens - 1) / tile_tokens;
  constexpr std::size_t together = block_tokens / tile_tokens;
  for (std::size_t t = 0; t < tiles; t += together) {
    for (std::size_t p = 0; p < w.n_panels(); p += 2) {
      expand_panel(w, p, s.stage.data());
      expand_panel(w, p + 1, s.stage.data() + 64);
      multiply_bytes(w, p, s.stage.data(), 64, 128, w.row_scales, t, std::min(t + together, tiles),
                     n_tokens, y, s);
    }
  }
}

}  // namespace avx512

hand_loop two_level_avx512() {
  return {"AVX-512 VNNI", avx512::runs_here(),
          &run_layer<avx512::rotate, avx512::quantize, avx512::two_level_token,
                     avx512::two_level_tokens>};
}

}  // namespace qompose_bench
#endif
