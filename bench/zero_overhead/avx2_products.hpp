// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Inner loops with AVX2 that two of the compositions have in common.

#include <algorithm>
#include <cstring>

#include "zero_overhead/avx2.hpp"
#include "zero_overhead/hand_loop.hpp"

namespace qompose_bench::avx2 {

/// Tokens whose sums fit the registers beside two vectors of weights.
inline constexpr std::size_t half_tile = 4;

/// sums[j] += dot products of a group of 4-bit fields of two panels with one token; j counts
/// vectors of eight rows. Products of eight quads are summed in 16 bits: 8 * 2 * 15 * 127 fits.
/// @param apart  bytes from one panel to the other. The processor follows two streams far from each
///               other by itself, and each broadcast meets two panels.
QOMPOSE_BENCH_AVX2_INLINE void dot_fields(const std::uint8_t* w, std::size_t apart,
                                          const std::int8_t* x, __m256i (&sums)[4]) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (std::size_t c = 0; c < hand_group; c += 32, w += 256, x += 32) {
    __m256i pairs[4] = {};
    each<4>([&](auto u) QOMPOSE_BENCH_AVX2_LAMBDA {
      const __m256i first = broadcast(x + 8 * u);
      const __m256i second = broadcast(x + 8 * u + 4);
      each<4>([&](auto j) QOMPOSE_BENCH_AVX2_LAMBDA {
        const __m256i fields = load(w + j / 2 * apart + 64 * u + 32 * (j % 2));
        const __m256i low = _mm256_and_si256(fields, mask);
        const __m256i high = _mm256_and_si256(_mm256_srli_epi16(fields, 4), mask);
        add_products(pairs[j], low, first);
        add_products(pairs[j], high, second);
      });
    });
    each<4>([&](auto j) QOMPOSE_BENCH_AVX2_LAMBDA { sums[j] = add_pairs(sums[j], pairs[j]); });
  }
}

/// One token: two panels, half a matrix apart.
///
/// `groups` says what is a composition's own, for panel p, group g and eight rows, the first or the
/// second half of a panel's: `codes(p, g)` where they are, `start(p, g, half, code_sum)` what a sum
/// of products starts at, `add(p, g, half, sum, total)` what it makes of a total, whose bits are
/// the composition's business but zeros for zero, and `result(row, total, x_scale)`.
template <class Groups>
QOMPOSE_BENCH_AVX2_INLINE void multiply_token(const hand_weights& w, const Groups groups, float* y,
                                              const hand_scratch& s) {
  const std::size_t middle = w.n_panels() / 2;
  const __m256 x_scale = _mm256_set1_ps(s.scales[0]);
  for (std::size_t p = 0; p < middle; ++p) {
    __m256i totals[4] = {};
    for (std::size_t g = 0; g < w.groups(); ++g) {
      __m256i sums[4];
      each<4>([&](auto j) QOMPOSE_BENCH_AVX2_LAMBDA {
        sums[j] = groups.start(p + j / 2 * middle, g, j % 2, s.sums[g]);
      });
      const std::uint8_t* codes = groups.codes(p, g);
      const auto apart = static_cast<std::size_t>(groups.codes(p + middle, g) - codes);
      dot_fields(codes, apart, s.tiles.data() + g * hand_group, sums);
      each<4>([&](auto j) QOMPOSE_BENCH_AVX2_LAMBDA {
        totals[j] = groups.add(p + j / 2 * middle, g, j % 2, sums[j], totals[j]);
      });
    }
    each<4>([&](auto j) QOMPOSE_BENCH_AVX2_LAMBDA {
      const std::size_t row = (p + j / 2 * middle) * 16 + 8 * (j % 2);
      _mm256_storeu_ps(y + row, groups.result(row, totals[j], x_scale));
    });
  }
}

/// One group of a panel as bytes, quad by quad.
QOMPOSE_BENCH_AVX2_INLINE void unpack_group(const std::uint8_t* codes, std::uint8_t* out) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (std::size_t i = 0; i < 16; ++i, codes += 64, out += 128) {
    each<2>([&](auto part) QOMPOSE_BENCH_AVX2_LAMBDA {
      const __m256i fields = load(codes + 32 * part);
      store(out + 32 * part, _mm256_and_si256(fields, mask));
      store(out + 32 * part + 64, _mm256_and_si256(_mm256_srli_epi16(fields, 4), mask));
    });
  }
}

/// sums[2 m + part] += dot products of such a group with token m of half a tile, for eight rows.
QOMPOSE_BENCH_AVX2_INLINE void dot_group(const std::uint8_t* stage, const std::int8_t* x,
                                         __m256i (&sums)[2 * half_tile]) {
  for (std::size_t c = 0; c < hand_group; c += 32, stage += 512, x += 32 * tile_tokens) {
    // Eight quads in 16 bits: 8 * 2 * 15 * 127 fits.
    __m256i pairs[2 * half_tile] = {};
    each<8>([&](auto u) QOMPOSE_BENCH_AVX2_LAMBDA {
      const __m256i first = load(stage + 64 * u);
      const __m256i second = load(stage + 64 * u + 32);
      each<half_tile>([&](auto m) QOMPOSE_BENCH_AVX2_LAMBDA {
        const __m256i codes = broadcast(x + 4 * (u * tile_tokens + m));
        add_products(pairs[2 * m], first, codes);
        add_products(pairs[2 * m + 1], second, codes);
      });
    });
    each<2 * half_tile>([&](auto i)
                            QOMPOSE_BENCH_AVX2_LAMBDA { sums[i] = add_pairs(sums[i], pairs[i]); });
  }
}

/// Many tokens: a group of a panel is unpacked into L1 and meets a whole block of tokens. Bytes, as
/// with AVX-512, would be dearer: sums of 4-bit products fit 16 bits.
template <class Groups>
QOMPOSE_BENCH_AVX2_INLINE void multiply_tokens(const hand_weights& w, const Groups groups,
                                               std::size_t n_tokens, float* y, hand_scratch& s) {
  alignas(32) std::uint8_t stage[16 * hand_group];
  for (std::size_t first = 0; first < n_tokens; first += block_tokens) {
    const std::size_t last = std::min(first + block_tokens, n_tokens);
    for (std::size_t p = 0; p < w.n_panels(); ++p) {
      std::memset(s.totals.data(), 0, block_tokens * 16 * sizeof(float));
      for (std::size_t g = 0; g < w.groups(); ++g) {
        unpack_group(groups.codes(p, g), stage);
        for (std::size_t t = first; t < last; t += half_tile) {
          const std::size_t tile = t / tile_tokens;
          const std::size_t in_tile = t % tile_tokens;
          const std::int32_t* code_sums =
              s.sums.data() + (tile * w.groups() + g) * tile_tokens + in_tile;
          float* totals = s.totals.data() + (t - first) * 16;
          __m256i sums[2 * half_tile];
          each<2 * half_tile>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
            sums[i] = groups.start(p, g, i % 2, code_sums[i / 2]);
          });
          dot_group(stage,
                    s.tiles.data() + (tile * w.cols + g * hand_group) * tile_tokens + 4 * in_tile,
                    sums);
          each<2 * half_tile>([&](auto i) QOMPOSE_BENCH_AVX2_LAMBDA {
            store(totals + 8 * i, groups.add(p, g, i % 2, sums[i], load(totals + 8 * i)));
          });
        }
      }
      for (std::size_t t = first; t < last; ++t) {
        const __m256 x_scale = _mm256_set1_ps(s.scales[t]);
        each<2>([&](auto half) QOMPOSE_BENCH_AVX2_LAMBDA {
          const std::size_t row = p * 16 + 8 * half;
          const __m256i total = load(s.totals.data() + (t - first) * 16 + 8 * half);
          _mm256_storeu_ps(y + t * w.rows + row, groups.result(row, total, x_scale));
        });
      }
    }
  }
}

}  // namespace qompose_bench::avx2
