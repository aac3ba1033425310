// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Products of signs: xnor and popcount over 64-bit words.

#if defined(QOMPOSE_KERNELS_XNOR_MATMUL_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_XNOR_MATMUL_INL_HPP_
#undef QOMPOSE_KERNELS_XNOR_MATMUL_INL_HPP_
#else
#define QOMPOSE_KERNELS_XNOR_MATMUL_INL_HPP_
#endif

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/prepare-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// y = alpha beta (2 popcount(xnor(w, x)) - n) + bias over panels of words.
///
/// What is counted are the signs that differ: 2 popcount(xnor) - n = n - 2 popcount(xor), and words
/// need no mask at the end of a row, where both hold zeros.
struct XnorMatmul {
  static constexpr std::size_t kTokens = 4;

  static constexpr std::size_t kDigits = 1;
  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return n_tokens == 1 ? 1 : kTokens;
  }

  /// Panels [first, last).
  static void Run(const detail::matmul_arguments& a, std::size_t first, std::size_t last) {
    for (std::size_t p = first; p < last; ++p) {
      if (a.n_tokens == 1) {
        Tile<1>(a, p, 0);
      } else {
        for (std::size_t t = 0; t < a.n_tokens; t += kTokens) Tile<kTokens>(a, p, t);
      }
    }
  }

 private:
  template <std::size_t n>
  static HWY_INLINE void Tile(const detail::matmul_arguments& a, std::size_t p, std::size_t token) {
    const std::size_t words = a.geometry.padded_cols / 64;
    const auto* w =
        reinterpret_cast<const std::uint64_t*>(a.weights.panels) + p * words * panel_rows;
    const auto* x = reinterpret_cast<const std::uint64_t*>(a.x.values) + token * words;
    alignas(64) std::int32_t different[n][panel_rows];
    Count<n>(w, x, words, different);

    const auto* alpha = reinterpret_cast<const float*>(a.weights.scales) + p * panel_rows;
    const VI columns = hn::Set(DI(), static_cast<std::int32_t>(a.geometry.cols));
    for (std::size_t m = 0; m < n && token + m < a.n_tokens; ++m) {
      const VF beta = hn::Set(DF(), a.x.scales[token + m]);
      for (std::size_t v = 0; v < kParts; ++v) {
        const std::size_t row = p * panel_rows + v * N;
        if (row >= a.geometry.rows) break;
        const std::size_t rows = a.geometry.rows - row;
        const VI count = hn::LoadU(DI(), &different[m][v * N]);
        const VF dot = hn::ConvertTo(DF(), hn::Sub(columns, hn::Add(count, count)));
        VF y = hn::Mul(dot, hn::Mul(hn::LoadU(DF(), alpha + v * N), beta));
        if (a.bias != nullptr) y = hn::Add(y, LoadFirst(a.bias + row, rows));
        StoreFirst(y, a.y + (token + m) * a.y_stride + row, rows);
      }
    }
  }

#if QOMPOSE_PLAIN_TARGET
  template <std::size_t n>
  static HWY_INLINE void Count(const std::uint64_t* w, const std::uint64_t* x, std::size_t words,
                               std::int32_t (&different)[n][panel_rows]) {
    std::memset(different, 0, sizeof(different));
    for (std::size_t k = 0; k < words; ++k, w += panel_rows, x += n) {
      for (std::size_t m = 0; m < n; ++m) {
        for (std::size_t r = 0; r < panel_rows; ++r) {
          different[m][r] += std::popcount(w[r] ^ x[m]);
        }
      }
    }
  }
#else
  using D64 = hn::Repartition<std::uint64_t, DF>;
  static constexpr std::size_t kLanes = hn::MaxLanes(D64());
  static constexpr std::size_t kVectors = panel_rows / kLanes;
  /// Vectors whose counts stay in registers together with those of a tile's tokens.
  static constexpr std::size_t kTogether = 2;
  /// Words whose bits, at most 8 a byte, are counted in bytes.
  static constexpr std::size_t kWords = 31;

  template <std::size_t n>
  static HWY_INLINE void Count(const std::uint64_t* w, const std::uint64_t* x, std::size_t words,
                               std::int32_t (&different)[n][panel_rows]) {
    constexpr std::size_t together = n == 1 ? std::min<std::size_t>(kVectors, 4) : kTogether;
    for (std::size_t v = 0; v < kVectors; v += together) {
      hn::Vec<D64> total[n][together];
      Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
        Unroll<together>([&](auto i) QOMPOSE_FLATTEN { total[m][i] = hn::Zero(D64()); });
      });
      for (std::size_t k = 0; k < words;) {
        const std::size_t stop = std::min(words, k + kWords);
        UBytes counts[n][together];
        Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
          Unroll<together>([&](auto i) QOMPOSE_FLATTEN { counts[m][i] = hn::Zero(DU8()); });
        });
        for (; k < stop; ++k) {
          hn::Vec<D64> ws[together];
          Unroll<together>([&](auto i) QOMPOSE_FLATTEN {
            ws[i] = hn::LoadU(D64(), w + k * panel_rows + (v + i) * kLanes);
          });
          Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
            const auto xs = hn::Set(D64(), x[k * n + m]);
            Unroll<together>([&](auto i) QOMPOSE_FLATTEN {
              const UBytes bits = hn::BitCast(DU8(), hn::Xor(ws[i], xs));
              counts[m][i] = hn::Add(counts[m][i], hn::PopulationCount(bits));
            });
          });
        }
        Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
          Unroll<together>([&](auto i) QOMPOSE_FLATTEN {
            total[m][i] = hn::Add(total[m][i], hn::SumsOf8(counts[m][i]));
          });
        });
      }
      // Counts of pairs of vectors fit the lower halves of their lanes.
      Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
        Unroll<together / 2>([&](auto i) QOMPOSE_FLATTEN {
          const VI low = hn::BitCast(DI(), total[m][2 * i]);
          const VI high = hn::BitCast(DI(), total[m][2 * i + 1]);
          hn::StoreU(hn::ConcatEven(DI(), high, low), DI(), &different[m][(v + 2 * i) * kLanes]);
        });
      });
    }
  }
#endif
};

/// Signs of one row as words, and their scale.
struct SignsOfRow {
  /// Sums of magnitudes that are added apart, and then in order, so that the scale is the same on
  /// every target.
  static constexpr std::size_t kChains = 16;

  /// @param x       n floats
  /// @param words   (n + 63) / 64 words, `stride` apart; 1 for values that are not negative
  /// @return mean |x|; NaN where x holds NaN or infinity, so that the fault shows in every result
  static HWY_INLINE float Run(const float* x, std::size_t n, std::uint64_t* words,
                              std::size_t stride) {
    for (std::size_t first = 0; first < n; first += 64) {
      words[first / 64 * stride] = Word(x + first, std::min<std::size_t>(64, n - first));
    }
    alignas(64) double sums[kChains];
    const std::size_t whole = n / kChains * kChains;
    Magnitudes(x, whole, sums);
    for (std::size_t i = whole; i < n; ++i) sums[i - whole] += std::fabs(static_cast<double>(x[i]));
    double sum = 0.0;
    for (const double part : sums) sum += part;
    const auto mean = static_cast<float>(sum / static_cast<double>(n));
    return mean - mean == 0.0f ? mean : std::numeric_limits<float>::quiet_NaN();
  }

 private:
  static HWY_INLINE std::uint64_t Word(const float* x, std::size_t n) {
    std::uint64_t word = 0;
    std::size_t i = 0;
#if !QOMPOSE_PLAIN_TARGET
    for (; i + N <= n; i += N) {
      const auto positive = hn::Ge(hn::LoadU(DF(), x + i), hn::Zero(DF()));
      std::uint8_t bits[8];
      static_cast<void>(hn::StoreMaskBits(DF(), positive, bits));
      // Byte by byte: a load that is wider than the store before it would have to wait.
      std::uint64_t lanes = bits[0];
      if constexpr (N > 8) lanes |= std::uint64_t{bits[1]} << 8;
      word |= lanes << i;
    }
#endif
    for (; i < n; ++i) word |= std::uint64_t{x[i] >= 0.0f} << i;
    return word;
  }

  /// Chain j is the sum of |x[j]|, |x[j + 16]|, ...
  static HWY_INLINE void Magnitudes(const float* x, std::size_t n, double* sums) {
#if QOMPOSE_PLAIN_TARGET
    std::fill_n(sums, kChains, 0.0);
    for (std::size_t i = 0; i < n; ++i) sums[i % kChains] += std::fabs(static_cast<double>(x[i]));
#else
    const hn::Repartition<double, DF> dd;
    const hn::Rebind<float, decltype(dd)> half;
    constexpr std::size_t lanes = N / 2;
    hn::Vec<decltype(dd)> chains[kChains / lanes];
    Unroll<kChains / lanes>([&](auto j) QOMPOSE_FLATTEN { chains[j] = hn::Zero(dd); });
    for (std::size_t i = 0; i < n; i += kChains) {
      Unroll<kChains / lanes>([&](auto j) QOMPOSE_FLATTEN {
        const auto values = hn::PromoteTo(dd, hn::LoadU(half, x + i + j * lanes));
        chains[j] = hn::Add(chains[j], hn::Abs(values));
      });
    }
    Unroll<kChains / lanes>([&](auto j)
                                QOMPOSE_FLATTEN { hn::StoreU(chains[j], dd, sums + j * lanes); });
#endif
  }
};

/// Makes tiles of signs for @ref XnorMatmul: [tiles][words][tile_tokens].
template <class Transform>
struct PrepareSigns {
  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return XnorMatmul::TileTokens(n_tokens);
  }

  /// Tile `tile`, tokens [tile * tile_tokens, ...).
  static void Run(const detail::prepare_arguments& a, const typename Transform::data& data,
                  std::size_t tile, float* scratch, std::int8_t*) {
    const std::size_t n = a.geometry.cols;
    const std::size_t words = a.geometry.padded_cols / 64;
    const std::size_t width = TileTokens(a.n_tokens);
    auto* out = reinterpret_cast<std::uint64_t*>(a.tiles.values) + tile * width * words;
    for (std::size_t m = 0; m < width; ++m) {
      const std::size_t t = tile * width + m;
      if (t >= a.n_tokens) {
        for (std::size_t k = 0; k < words; ++k) out[k * width + m] = 0;
        a.tiles.scales[t] = 0.0f;
        continue;
      }
      const float* row = a.x + t * a.x_stride;
      if constexpr (!Transform::is_identity) {
        ApplyTransform<Transform>::Run(data, row, scratch, n);
        row = scratch;
      }
      a.tiles.scales[t] = SignsOfRow::Run(row, n, out + m, width);
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
