// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What all hand-written layers do: codes of all tokens in tiles, then a product.
///
/// AVX2 serves both instruction sets here, as next to no time is spent on it.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "zero_overhead/avx2.hpp"
#include "zero_overhead/hand_loop.hpp"

namespace qompose_bench {

/// The scale of a token, and whether any of its codes is not zero.
struct token_scale {
  float scale = 1.0f;
  bool has_codes = false;
};

/// The scale that puts the largest magnitude, of these bits, at 127; 1 for zeros alone, NaN where a
/// number is not finite, so that the fault shows in every result.
inline token_scale scale_of(std::int32_t peak_bits) {
  float peak;
  std::memcpy(&peak, &peak_bits, sizeof(peak));
  if (!std::isfinite(peak)) return {std::numeric_limits<float>::quiet_NaN(), false};
  const float scale = peak / 127.0f;
  return scale > 0.0f ? token_scale{scale, true} : token_scale{};
}

namespace avx2 {

/// Codes of one token.
/// @tparam rotate    void(x, cols, row), or nullptr
/// @tparam quantize  float(x, cols, codes), the scale
template <auto rotate, auto quantize>
float make_codes(const float* x, std::size_t cols, hand_scratch& s, std::int8_t* codes) {
  if constexpr (!std::is_same_v<decltype(rotate), std::nullptr_t>) {
    rotate(x, cols, s.row.data());
    x = s.row.data();
  }
  return quantize(x, cols, codes);
}

/// The codes of one token, its scale and the sums of its groups.
template <auto rotate, auto quantize>
QOMPOSE_BENCH_AVX2 void make_token(const float* x, std::size_t cols, hand_scratch& s) {
  s.scales[0] = make_codes<rotate, quantize>(x, cols, s, s.tiles.data());
  const __m256i ones = _mm256_set1_epi8(1);
  for (std::size_t g = 0; g < cols / hand_group; ++g) {
    __m256i sum = _mm256_setzero_si256();
    each<4>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
      const __m256i codes = load(s.tiles.data() + g * hand_group + 32 * i);
      sum = add_pairs(sum, _mm256_maddubs_epi16(ones, codes));
    });
    s.sums[g] = sum_of_lanes(sum);
  }
}

/// The same for many tokens, in tiles; tokens past the last are zeros.
template <auto rotate, auto quantize>
QOMPOSE_BENCH_AVX2 void make_tiles(const float* x, std::size_t n_tokens, std::size_t cols,
                                   hand_scratch& s) {
  const std::size_t stride = hand_scratch::code_stride(cols);
  std::int8_t* tile = s.tiles.data();
  std::int32_t* sums = s.sums.data();
  const __m256i ones = _mm256_set1_epi8(1);
  for (std::size_t t = 0; t < n_tokens; t += tile_tokens) {
    for (std::size_t m = 0; m < tile_tokens; ++m) {
      std::int8_t* codes = s.codes.data() + m * stride;
      if (t + m < n_tokens) {
        s.scales[t + m] = make_codes<rotate, quantize>(x + (t + m) * cols, cols, s, codes);
      } else {
        std::memset(codes, 0, cols);
        s.scales[t + m] = 1.0f;
      }
    }
    for (std::size_t c = 0; c < cols; c += hand_group, sums += tile_tokens) {
      __m256i sum = _mm256_setzero_si256();
      for (std::size_t i = 0; i < hand_group; i += 32, tile += 32 * tile_tokens) {
        transpose(s.codes.data() + c + i, stride, tile);
        // Eight sums of two codes each fit 16 bits.
        __m256i pairs = _mm256_setzero_si256();
        each<8>([&](auto k)
                    QOMPOSE_BENCH_AVX2_LAMBDA { add_products(pairs, ones, load(tile + 32 * k)); });
        sum = add_pairs(sum, pairs);
      }
      store(sums, sum);
    }
  }
}

}  // namespace avx2

/// A layer of its parts: what makes codes of a token, and products of one token and of many.
template <auto rotate, auto quantize, auto multiply_token, auto multiply_tokens>
void run_layer(const hand_weights& w, const float* x, std::size_t n_tokens, float* y,
               hand_scratch& scratch) {
  scratch.reserve(n_tokens, w.cols);
  if (n_tokens == 1) {
    avx2::make_token<rotate, quantize>(x, w.cols, scratch);
    multiply_token(w, y, scratch);
  } else {
    avx2::make_tiles<rotate, quantize>(x, n_tokens, w.cols, scratch);
    multiply_tokens(w, n_tokens, y, scratch);
  }
}

}  // namespace qompose_bench
