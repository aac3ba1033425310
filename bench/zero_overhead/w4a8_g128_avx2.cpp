// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief int4 in groups of 128 with fp16 scales times int8 per token, by hand, with AVX2.

#if defined(__x86_64__)
#include "zero_overhead/avx2_activations.hpp"
#include "zero_overhead/avx2_products.hpp"
#include "zero_overhead/int4_blocks.hpp"

namespace qompose_bench {
namespace avx2 {

QOMPOSE_BENCH_AVX2_INLINE __m256 load_halves(const std::uint8_t* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}

/// What the products of a group come to: a total of floats, scale * sum.
struct w4a8_g128_groups {
  const hand_weights& w;
  std::size_t panel_bytes;

  QOMPOSE_BENCH_AVX2_INLINE const std::uint8_t* codes(std::size_t p, std::size_t g) const {
    return w.panels + p * panel_bytes + int4_blocks::codes_at(g);
  }
  QOMPOSE_BENCH_AVX2_INLINE __m256i start(std::size_t, std::size_t, std::size_t,
                                          std::int32_t code_sum) const {
    return _mm256_set1_epi32(-8 * code_sum);
  }
  QOMPOSE_BENCH_AVX2_INLINE __m256i add(std::size_t p, std::size_t g, std::size_t half, __m256i sum,
                                        __m256i total) const {
    const __m256 scale =
        load_halves(w.panels + p * panel_bytes + int4_blocks::halves_at(g) + 16 * half);
    return _mm256_castps_si256(
        _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), scale, _mm256_castsi256_ps(total)));
  }
  QOMPOSE_BENCH_AVX2_INLINE __m256 result(std::size_t, __m256i total, __m256 x_scale) const {
    return _mm256_mul_ps(_mm256_castsi256_ps(total), x_scale);
  }
};

QOMPOSE_BENCH_AVX2 void w4a8_g128_token(const hand_weights& w, float* y, const hand_scratch& s) {
  multiply_token(w, w4a8_g128_groups{w, int4_blocks::panel_bytes(w.groups())}, y, s);
}
QOMPOSE_BENCH_AVX2 void w4a8_g128_tokens(const hand_weights& w, std::size_t n_tokens, float* y,
                                         hand_scratch& s) {
  multiply_tokens(w, w4a8_g128_groups{w, int4_blocks::panel_bytes(w.groups())}, n_tokens, y, s);
}

}  // namespace avx2

hand_loop w4a8_g128_avx2() {
  return {"AVX2", avx2::runs_here(),
          &run_layer<nullptr, avx2::quantize, avx2::w4a8_g128_token, avx2::w4a8_g128_tokens>};
}

}  // namespace qompose_bench
#endif
