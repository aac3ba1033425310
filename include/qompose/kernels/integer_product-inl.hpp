// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Products of int8 weights and int8 activations for integer-only layers, exact for all
/// codes.

#if defined(QOMPOSE_KERNELS_INTEGER_PRODUCT_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_INTEGER_PRODUCT_INL_HPP_
#undef QOMPOSE_KERNELS_INTEGER_PRODUCT_INL_HPP_
#else
#define QOMPOSE_KERNELS_INTEGER_PRODUCT_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "qompose/kernels/integer_arguments.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

#if !QOMPOSE_PLAIN_TARGET
/// a[2 i] b[2 i] + a[2 i + 1] b[2 i + 1] as int32; no sum of two products of bytes overflows.
HWY_INLINE VI DotPairs(hn::Vec<DI16> a, hn::Vec<DI16> b) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  return VI{_mm512_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  return VI{_mm256_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_X86
  return VI{_mm_madd_epi16(a.raw, b.raw)};
#elif HWY_ARCH_ARM_A64
  return VI{vpaddq_s32(vmull_s16(vget_low_s16(a.raw), vget_low_s16(b.raw)),
                       vmull_high_s16(a.raw, b.raw))};
#else
#error "qompose: kernels/integer_product-inl.hpp: no product of 16-bit pairs for this target"
#endif
}
#endif

/// Bytes are widened to 16 bits before they are multiplied, so that -128 times -128 and sums of two
/// such products are as exact as all others; weights are widened once for a tile of tokens.
template <class Layout>
struct IntegerProduct {
  static_assert(Layout::is_integer && Layout::width == code_width::byte &&
                Layout::field_offset == 0);
  static constexpr std::size_t kTokens = 4;

  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return n_tokens == 1 ? 1 : kTokens;
  }

  /// Tile `tile` of the activations, widened; columns and tokens past the last are 0.
  static void Prepare(const detail::code_rows& x, const panel_geometry& geometry, std::size_t tile,
                      std::int16_t* tiles) {
    const std::size_t width = TileTokens(x.n_tokens);
    std::int16_t* out = tiles + tile * width * geometry.padded_cols;
    std::memset(out, 0, width * geometry.padded_cols * sizeof(std::int16_t));
    for (std::size_t m = 0; m < width && tile * width + m < x.n_tokens; ++m) {
      const std::uint8_t* row = x.codes + (tile * width + m) * x.stride;
      const auto widen = [&](std::size_t c, std::size_t count) QOMPOSE_FLATTEN {
        std::int16_t* word = out + (c * width + 4 * m);
        for (std::size_t i = 0; i < count; ++i) {
          word[i] = static_cast<std::int8_t>(static_cast<std::uint8_t>(row[c + i] ^ x.flip));
        }
      };
      std::size_t c = 0;
      for (; c + 4 <= geometry.cols; c += 4) widen(c, 4);
      widen(c, geometry.cols - c);
    }
  }

  /// The sums of panels [first, last), handed to `Output` N rows of a token at a time.
  template <class Output>
  static void Run(const detail::integer_product_arguments& a,
                  const typename Output::Arguments& output, std::size_t first, std::size_t last) {
    const Output store(output);
    const std::size_t width = TileTokens(a.n_tokens);
    for (std::size_t p = first; p < last; ++p) {
      for (std::size_t t = 0; t < a.n_tokens; t += width) {
        if (width == 1) {
          Tile<1>(a, p, t, store);
        } else {
          Tile<kTokens>(a, p, t, store);
        }
      }
    }
  }

 private:
  template <std::size_t n, class Output>
  static HWY_INLINE void Tile(const detail::integer_product_arguments& a, std::size_t p,
                              std::size_t token, const Output& store) {
    const std::size_t columns = a.geometry.padded_cols;
    const std::uint8_t* w = a.weights.codes + p * columns * Layout::column_bytes;
    const std::int16_t* x = a.tiles + token * columns;
    for (std::size_t part = 0; part < kParts; ++part) {
      VI sums[n];
      Dot<n>(w + part * 4 * N, x, columns, sums);
      Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
        if (token + m < a.n_tokens) store(token + m, p * panel_rows + part * N, sums[m]);
      });
    }
  }

#if QOMPOSE_PLAIN_TARGET
  template <std::size_t n>
  static HWY_INLINE void Dot(const std::uint8_t* w, const std::int16_t* x, std::size_t columns,
                             VI (&sums)[n]) {
    std::int32_t lanes[n][N] = {};
    for (std::size_t k = 0; k < columns; k += 4, w += 64, x += 4 * n) {
      for (std::size_t m = 0; m < n; ++m) {
        for (std::size_t i = 0; i < 4 * N; ++i) {
          lanes[m][i / 4] += static_cast<std::int8_t>(w[i]) * x[4 * m + i % 4];
        }
      }
    }
    for (std::size_t m = 0; m < n; ++m) sums[m] = hn::LoadU(DI(), lanes[m]);
  }
#else
  /// N rows with n tokens. A row's four columns are two pairs, summed apart until the end.
  template <std::size_t n>
  static HWY_INLINE void Dot(const std::uint8_t* w, const std::int16_t* x, std::size_t columns,
                             VI (&sums)[n]) {
    const hn::Rebind<std::int8_t, DI16> half;
    const hn::Repartition<std::int64_t, DI16> words;
    VI low[n];
    VI high[n];
    Unroll<n>([&](auto m) QOMPOSE_FLATTEN { low[m] = high[m] = hn::Zero(DI()); });
    for (std::size_t k = 0; k < columns; k += 4, w += 64, x += 4 * n) {
      const auto* bytes = reinterpret_cast<const std::int8_t*>(w);
      const auto low_w = hn::PromoteTo(DI16(), hn::LoadU(half, bytes));
      const auto high_w = hn::PromoteTo(DI16(), hn::LoadU(half, bytes + 2 * N));
      Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
        std::int64_t word;
        std::memcpy(&word, x + 4 * m, sizeof(word));
        const auto xs = hn::BitCast(DI16(), hn::Set(words, word));
        low[m] = hn::Add(low[m], DotPairs(low_w, xs));
        high[m] = hn::Add(high[m], DotPairs(high_w, xs));
      });
    }
    Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
      sums[m] =
          hn::Add(hn::ConcatEven(DI(), high[m], low[m]), hn::ConcatOdd(DI(), high[m], low[m]));
    });
  }
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
