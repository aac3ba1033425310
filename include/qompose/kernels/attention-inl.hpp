// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Causal attention over a cache in tiles, with an online softmax.

#if defined(QOMPOSE_KERNELS_ATTENTION_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ATTENTION_INL_HPP_
#undef QOMPOSE_KERNELS_ATTENTION_INL_HPP_
#else
#define QOMPOSE_KERNELS_ATTENTION_INL_HPP_
#endif

#include <hwy/contrib/math/math-inl.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/prepare-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// How one side of the cache (keys or values) is stored and read: plain floats.
///
/// Keys lie in panels of 16 tokens, [padded head_dim][16 tokens], so that a query element,
/// broadcast, meets sixteen tokens; values lie token by token, [padded head_dim].
template <class Spec>
struct CacheSide {
  using code = typename Spec::storage_type;
  static constexpr bool kDirect = std::is_same_v<Spec, fp32>;

  static HWY_INLINE void StoreKey(const float* x, std::size_t dim, code* panel, float*) {
    for (std::size_t d = 0; d < dim; ++d) panel[d * panel_rows] = Spec::encode(x[d]);
  }
  static HWY_INLINE void StoreValue(const float* x, std::size_t dim, code* token, float*) {
    for (std::size_t d = 0; d < dim; ++d) token[d] = Spec::encode(x[d]);
  }
  /// A panel of 16 keys as floats, [padded_dim][16].
  static HWY_INLINE void LoadKeys(const code* panel, const float*, std::size_t padded_dim,
                                  float* out) {
    Load(panel, padded_dim * panel_rows, out);
  }
  /// One value as floats.
  static HWY_INLINE void LoadValue(const code* token, const float*, std::size_t padded_dim,
                                   float* out) {
    Load(token, padded_dim, out);
  }

 private:
  static HWY_INLINE void Load(const code* codes, std::size_t n, float* out) {
    for (std::size_t i = 0; i < n; i += N) {
      const auto* at = reinterpret_cast<const std::uint8_t*>(codes + i);
      hn::StoreU(LoadFloats<Spec>(at), DF(), out + i);
    }
  }
};

/// int8 codes with one float scale per token and KV head. Keys lie as [padded head_dim / 4][16
/// tokens][4], the layout of byte weights.
template <class Granularity>
struct CacheSide<quant<int8, Granularity, scale<fp32>, no_zero>> {
  using code = std::int8_t;
  static constexpr bool kDirect = false;

  static HWY_INLINE void StoreKey(const float* x, std::size_t dim, code* panel, float* scale) {
    code codes[max_head_dim];
    *scale = QuantizeRow<int8>::Run(x, dim, codes);
    for (std::size_t d = 0; d < dim; ++d) panel[d / 4 * 64 + d % 4] = codes[d];
  }
  static HWY_INLINE void StoreValue(const float* x, std::size_t dim, code* token, float* scale) {
    *scale = QuantizeRow<int8>::Run(x, dim, token);
  }
  static HWY_INLINE void LoadKeys(const code* panel, const float* scales, std::size_t padded_dim,
                                  float* out) {
    Unroll<kParts>([&](auto part) QOMPOSE_FLATTEN {
      const VF scale = hn::LoadU(DF(), scales + part * N);
      for (std::size_t d = 0; d < padded_dim; d += 4) {
        const VI four = hn::LoadU(
            DI(), reinterpret_cast<const std::int32_t*>(panel + d / 4 * 64 + part * 4 * N));
        Unroll<4>([&](auto k) QOMPOSE_FLATTEN {
          constexpr int kLeft = 24 - 8 * static_cast<int>(decltype(k)::value);
          const VI code_lanes = hn::ShiftRight<24>(hn::ShiftLeft<kLeft>(four));
          hn::StoreU(hn::Mul(hn::ConvertTo(DF(), code_lanes), scale), DF(),
                     out + (d + k) * panel_rows + part * N);
        });
      }
    });
  }
  static HWY_INLINE void LoadValue(const code* token, const float* scale, std::size_t padded_dim,
                                   float* out) {
    const hn::Rebind<std::int8_t, DF> narrow;
    const VF factor = hn::Set(DF(), *scale);
    for (std::size_t d = 0; d < padded_dim; d += N) {
      const VI lanes = hn::PromoteTo(DI(), hn::LoadU(narrow, token + d));
      hn::StoreU(hn::Mul(hn::ConvertTo(DF(), lanes), factor), DF(), out + d);
    }
  }
};

/// Attention of a block of query rows, all of one KV head, over the tokens of the cache.
template <class Keys, class Values>
struct Attention {
  using KeySide = CacheSide<Keys>;
  using ValueSide = CacheSide<Values>;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static constexpr std::size_t kRows = 12;
#elif (HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2) || HWY_ARCH_ARM_A64
  static constexpr std::size_t kRows = 6;
#else
  static constexpr std::size_t kRows = 3;
#endif
  static constexpr std::size_t kTileTokens = 64;

  /// Appends tokens [first, first + n) of one KV head.
  static void Append(const detail::append_arguments& a, std::size_t head) {
    using key_code = typename KeySide::code;
    using value_code = typename ValueSide::code;
    auto* keys = reinterpret_cast<key_code*>(a.keys.codes) + head * a.capacity * a.padded_dim;
    auto* values = reinterpret_cast<value_code*>(a.values.codes) + head * a.capacity * a.padded_dim;
    for (std::size_t i = 0; i < a.n_tokens; ++i) {
      const std::size_t t = a.first + i;
      const std::size_t lane = t % panel_rows;
      // Plain keys are [dim][16], so a token starts at its lane; int8 keys are words of four.
      constexpr std::size_t kLaneCodes = std::is_same_v<key_code, std::int8_t> ? 4 : 1;
      key_code* panel = keys + t / panel_rows * panel_rows * a.padded_dim + lane * kLaneCodes;
      KeySide::StoreKey(a.k + i * a.k_stride + head * a.head_dim, a.head_dim, panel,
                        a.keys.scale(head * a.capacity + t));
      ValueSide::StoreValue(a.v + i * a.v_stride + head * a.head_dim, a.head_dim,
                            values + t * a.padded_dim, a.values.scale(head * a.capacity + t));
    }
  }

  /// Query rows [first_row, first_row + rows) of a KV head; row r is query r / group of query head
  /// head * group + r % group.
  /// @pre rows <= detail::attention_rows
  static void Run(const detail::attention_arguments& a, std::size_t head, std::size_t first_row,
                  std::size_t rows) {
    alignas(64) float queries[detail::attention_rows * max_head_dim];
    alignas(64) float outputs[detail::attention_rows * max_head_dim];
    alignas(64) float scores[detail::attention_rows * kTileTokens];
    alignas(64) float tile[kTileTokens * max_head_dim];
    float peak[detail::attention_rows];
    float total[detail::attention_rows];

    const std::size_t dim = a.padded_dim;
    const float factor = 1.0f / std::sqrt(static_cast<float>(a.head_dim));
    std::memset(queries, 0, rows * dim * sizeof(float));
    std::memset(outputs, 0, rows * dim * sizeof(float));
    for (std::size_t r = 0; r < rows; ++r) {
      const float* q = Query(a, head, first_row + r);
      for (std::size_t d = 0; d < a.head_dim; ++d) queries[r * dim + d] = q[d] * factor;
      peak[r] = -std::numeric_limits<float>::infinity();
      total[r] = 0.0f;
    }

    const std::size_t last_token = LastToken(a, first_row + rows - 1);
    for (std::size_t t = 0; t <= last_token; t += kTileTokens) {
      const std::size_t tokens = std::min(kTileTokens, last_token + 1 - t);
      Scores(a, head, t, tokens, queries, rows, tile, scores);
      for (std::size_t r = 0; r < rows; ++r) {
        const std::size_t last = LastToken(a, first_row + r);
        const std::size_t visible = last < t ? 0 : std::min(tokens, last + 1 - t);
        Softmax(scores + r * kTileTokens, visible, peak[r], total[r], outputs + r * dim, dim);
      }
      AddValues(a, head, t, tokens, scores, rows, tile, outputs);
    }
    for (std::size_t r = 0; r < rows; ++r) {
      const float inverse = 1.0f / total[r];
      float* y = a.y + (first_row + r) / a.group * a.y_stride +
                 (head * a.group + (first_row + r) % a.group) * a.head_dim;
      for (std::size_t d = 0; d < a.head_dim; ++d) y[d] = outputs[r * dim + d] * inverse;
    }
  }

 private:
  static HWY_INLINE const float* Query(const detail::attention_arguments& a, std::size_t head,
                                       std::size_t row) {
    return a.q + row / a.group * a.q_stride + (head * a.group + row % a.group) * a.head_dim;
  }
  /// The last token that a row may see.
  static HWY_INLINE std::size_t LastToken(const detail::attention_arguments& a, std::size_t row) {
    return a.first + row / a.group;
  }

  /// c[r][0 .. 16) (+)= sum over k of a[r][k] b[k][0 .. 16)
  template <std::size_t rows, bool kAdd>
  static HWY_INLINE void Multiply(const float* HWY_RESTRICT a, std::size_t a_stride,
                                  const float* HWY_RESTRICT b, std::size_t b_stride, std::size_t n,
                                  float* HWY_RESTRICT c, std::size_t c_stride) {
    VF sum[rows][kParts];
    Unroll<rows>([&](auto r) QOMPOSE_FLATTEN {
      Unroll<kParts>([&](auto i) QOMPOSE_FLATTEN {
        sum[r][i] = kAdd ? hn::LoadU(DF(), c + r * c_stride + i * N) : hn::Zero(DF());
      });
    });
    for (std::size_t k = 0; k < n; ++k, b += b_stride) {
      VF bs[kParts];
      Unroll<kParts>([&](auto i) QOMPOSE_FLATTEN { bs[i] = hn::LoadU(DF(), b + i * N); });
      Unroll<rows>([&](auto r) QOMPOSE_FLATTEN {
        const VF as = hn::Set(DF(), a[r * a_stride + k]);
        Unroll<kParts>([&](auto i)
                           QOMPOSE_FLATTEN { sum[r][i] = hn::MulAdd(as, bs[i], sum[r][i]); });
      });
    }
    Unroll<rows>([&](auto r) QOMPOSE_FLATTEN {
      Unroll<kParts>(
          [&](auto i) QOMPOSE_FLATTEN { hn::StoreU(sum[r][i], DF(), c + r * c_stride + i * N); });
    });
  }
  /// The same for any number of rows, `most` at a time.
  template <std::size_t most, bool kAdd>
  static HWY_INLINE void MultiplyRows(const float* a, std::size_t a_stride, const float* b,
                                      std::size_t b_stride, std::size_t n, float* c,
                                      std::size_t c_stride, std::size_t rows) {
    for (; rows >= most; rows -= most, a += most * a_stride, c += most * c_stride) {
      Multiply<most, kAdd>(a, a_stride, b, b_stride, n, c, c_stride);
    }
    if constexpr (most > 1) {
      if (rows > 0) {
        MultiplyRows<(most + 1) / 2, kAdd>(a, a_stride, b, b_stride, n, c, c_stride, rows);
      }
    }
  }

  static HWY_INLINE void Scores(const detail::attention_arguments& a, std::size_t head,
                                std::size_t t, std::size_t tokens, const float* queries,
                                std::size_t rows, float* tile, float* scores) {
    using code = typename KeySide::code;
    const auto* keys =
        reinterpret_cast<const code*>(a.keys.codes) + (head * a.capacity + t) * a.padded_dim;
    for (std::size_t i = 0; i < tokens; i += panel_rows) {
      const float* panel;
      if constexpr (KeySide::kDirect) {
        panel = reinterpret_cast<const float*>(keys + i * a.padded_dim);
      } else {
        KeySide::LoadKeys(keys + i * a.padded_dim, a.keys.scale(head * a.capacity + t + i),
                          a.padded_dim, tile);
        panel = tile;
      }
      MultiplyRows<kRows, false>(queries, a.padded_dim, panel, panel_rows, a.padded_dim, scores + i,
                                 kTileTokens, rows);
    }
  }

  static HWY_INLINE void AddValues(const detail::attention_arguments& a, std::size_t head,
                                   std::size_t t, std::size_t tokens, const float* weights,
                                   std::size_t rows, float* tile, float* outputs) {
    using code = typename ValueSide::code;
    const auto* values =
        reinterpret_cast<const code*>(a.values.codes) + (head * a.capacity + t) * a.padded_dim;
    const float* floats = tile;
    if constexpr (ValueSide::kDirect) {
      floats = reinterpret_cast<const float*>(values);
    } else {
      for (std::size_t i = 0; i < tokens; ++i) {
        ValueSide::LoadValue(values + i * a.padded_dim, a.values.scale(head * a.capacity + t + i),
                             a.padded_dim, tile + i * a.padded_dim);
      }
    }
    for (std::size_t d = 0; d < a.padded_dim; d += panel_rows) {
      MultiplyRows<kRows, true>(weights, kTileTokens, floats + d, a.padded_dim, tokens, outputs + d,
                                a.padded_dim, rows);
    }
  }

  /// Scores to weights exp(score - peak) in place, 0 past `visible`; moves the running peak, total
  /// and output to the new peak.
  static HWY_INLINE void Softmax(float* scores, std::size_t visible, float& peak, float& total,
                                 float* output, std::size_t dim) {
    const VF lowest = hn::Set(DF(), -std::numeric_limits<float>::infinity());
    for (std::size_t i = visible; i < kTileTokens; ++i) {
      scores[i] = -std::numeric_limits<float>::infinity();
    }
    if (visible == 0) {
      std::memset(scores, 0, kTileTokens * sizeof(float));
      return;
    }
    VF largest = lowest;
    for (std::size_t i = 0; i < kTileTokens; i += N) {
      largest = hn::Max(largest, hn::Load(DF(), scores + i));
    }
    const float new_peak = std::max(peak, hn::GetLane(hn::MaxOfLanes(DF(), largest)));
    if (new_peak > peak) {
      const float shrink = std::exp(peak - new_peak);
      total *= shrink;
      const VF factor = hn::Set(DF(), shrink);
      for (std::size_t d = 0; d < dim; d += N) {
        hn::StoreU(hn::Mul(hn::LoadU(DF(), output + d), factor), DF(), output + d);
      }
      peak = new_peak;
    }
    const VF at_peak = hn::Set(DF(), peak);
    VF sum = hn::Zero(DF());
    for (std::size_t i = 0; i < kTileTokens; i += N) {
      // exp(-inf) is 0, but polynomials are happier with numbers.
      const VF below =
          hn::Max(hn::Sub(hn::Load(DF(), scores + i), at_peak), hn::Set(DF(), -104.0f));
      const VF weight = hn::Exp(DF(), below);
      hn::Store(weight, DF(), scores + i);
      sum = hn::Add(sum, weight);
    }
    for (std::size_t i = visible; i < kTileTokens; ++i) scores[i] = 0.0f;
    total += hn::GetLane(hn::SumOfLanes(DF(), sum));
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
