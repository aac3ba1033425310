// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Two-level weights (QServe) times int8 per token, both rotated in blocks of 128, by hand,
///        with AVX2.

#if defined(__x86_64__)
#include "zero_overhead/avx2_activations.hpp"
#include "zero_overhead/avx2_products.hpp"
#include "zero_overhead/int4_blocks.hpp"

namespace qompose_bench {
namespace avx2 {

/// Eight bytes, zero-extended.
QOMPOSE_BENCH_AVX2_INLINE __m256i load_small(const std::uint8_t* p) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}

/// What the products of a group come to: a total of integers, scale * (sum - zero * sum of codes).
struct two_level_groups {
  const hand_weights& w;
  std::size_t panel_bytes;

  QOMPOSE_BENCH_AVX2_INLINE const std::uint8_t* codes(std::size_t p, std::size_t g) const {
    return w.panels + p * panel_bytes + int4_blocks::codes_at(g);
  }
  QOMPOSE_BENCH_AVX2_INLINE __m256i start(std::size_t p, std::size_t g, std::size_t half,
                                          std::int32_t code_sum) const {
    return _mm256_mullo_epi32(
        load_small(w.panels + p * panel_bytes + int4_blocks::zeros_at(g) + 8 * half),
        _mm256_set1_epi32(-code_sum));
  }
  QOMPOSE_BENCH_AVX2_INLINE __m256i add(std::size_t p, std::size_t g, std::size_t half, __m256i sum,
                                        __m256i total) const {
    const __m256i scale =
        load_small(w.panels + p * panel_bytes + int4_blocks::scales_at(g) + 8 * half);
    return _mm256_add_epi32(total, _mm256_mullo_epi32(sum, scale));
  }
  QOMPOSE_BENCH_AVX2_INLINE __m256 result(std::size_t row, __m256i total, __m256 x_scale) const {
    return _mm256_mul_ps(_mm256_cvtepi32_ps(total),
                         _mm256_mul_ps(_mm256_loadu_ps(w.row_scales + row), x_scale));
  }
};

QOMPOSE_BENCH_AVX2 void two_level_token(const hand_weights& w, float* y, const hand_scratch& s) {
  multiply_token(w, two_level_groups{w, int4_blocks::panel_bytes(w.groups())}, y, s);
}
QOMPOSE_BENCH_AVX2 void two_level_tokens(const hand_weights& w, std::size_t n_tokens, float* y,
                                         hand_scratch& s) {
  multiply_tokens(w, two_level_groups{w, int4_blocks::panel_bytes(w.groups())}, n_tokens, y, s);
}

}  // namespace avx2

hand_loop two_level_avx2() {
  return {"AVX2", avx2::runs_here(),
          &run_layer<avx2::rotate, avx2::quantize, avx2::two_level_token, avx2::two_level_tokens>};
}

}  // namespace qompose_bench
#endif
