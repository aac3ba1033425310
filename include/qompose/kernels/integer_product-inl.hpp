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
///
/// A block of tokens meets a stretch of columns while both are in L1; its sums wait in between.
template <class Layout>
struct IntegerProduct {
  static_assert(Layout::width == code_width::byte && Layout::field_offset == -128);
  // With 16 registers g++ keeps a sum of a fourth token in memory, which halves the speed.
  static constexpr std::size_t kTokens = HWY_ARCH_X86 && HWY_TARGET > HWY_AVX3 ? 3 : 4;
  static constexpr std::size_t kBlockTokens = 16 * kTokens, kColumns = 1024;

  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return n_tokens == 1 ? 1 : kTokens;
  }

  /// Tile `tile` of the activations, widened; columns and tokens past the last are 0.
  static void Prepare(const detail::code_rows& x, const panel_geometry& geometry, std::size_t tile,
                      std::int16_t* tiles) {
    const std::size_t width = TileTokens(x.n_tokens);
    std::int16_t* out = tiles + tile * width * geometry.padded_cols;
    const std::size_t used = std::min(width, x.n_tokens - tile * width);
    if (used < width) std::memset(out, 0, width * geometry.padded_cols * sizeof(std::int16_t));
    for (std::size_t m = 0; m < used; ++m) {
      const std::uint8_t* row = x.codes + (tile * width + m) * x.stride;
      std::size_t c = 0;
      for (; c + 4 <= geometry.cols; c += 4) Widen(row + c, x.flip, out + c * width + 4 * m);
      for (; c < geometry.padded_cols; c += 4) {
        std::uint8_t codes[4] = {x.flip, x.flip, x.flip, x.flip};  // which stands for 0
        if (c < geometry.cols) std::memcpy(codes, row + c, geometry.cols - c);
        Widen(codes, x.flip, out + c * width + 4 * m);
      }
    }
  }

  /// The sums of panels [first, last), handed to `Output` N rows of a token at a time.
  template <class Output>
  static void Run(const detail::integer_product_arguments& a,
                  const typename Output::Arguments& output, std::size_t first, std::size_t last) {
    const Output store(output);
    for (std::size_t p = first; p < last; ++p) {
      if (a.n_tokens == 1) {
        Block<1, kParts>(a, p, 0, store);
      } else {
        for (std::size_t t = 0; t < a.n_tokens; t += kBlockTokens)
          Block<kTokens, 1>(a, p, t, store);
      }
    }
  }

 private:
  /// Four codes, bits of `flip` turned over, as four numbers of 16 bits.
  static HWY_INLINE void Widen(const std::uint8_t* codes, std::uint8_t flip, std::int16_t* out) {
#if QOMPOSE_PLAIN_TARGET
    for (std::size_t i = 0; i < 4; ++i) {
      out[i] = static_cast<std::int8_t>(static_cast<std::uint8_t>(codes[i] ^ flip));
    }
#else
    const hn::CappedTag<std::int16_t, 4> d16;
    const hn::Rebind<std::int8_t, decltype(d16)> d8;
    const hn::RebindToUnsigned<decltype(d8)> du8;
    const auto flipped = hn::Xor(hn::LoadU(du8, codes), hn::Set(du8, flip));
    hn::StoreU(hn::PromoteTo(d16, hn::BitCast(d8, flipped)), d16, out);
#endif
  }

  /// Tokens [token, token + kBlockTokens), n of them and `parts` vectors of rows at a time.
  template <std::size_t n, std::size_t parts, class Output>
  static HWY_INLINE void Block(const detail::integer_product_arguments& a, std::size_t p,
                               std::size_t token, const Output& store) {
    const std::size_t all = a.geometry.padded_cols;
    const std::uint8_t* w = a.weights.codes + p * all * Layout::column_bytes;
    const std::size_t end = std::min(a.n_tokens, token + kBlockTokens);
    alignas(64) std::int32_t kept[n == 1 ? 1 : kBlockTokens][panel_rows];
    for (std::size_t k = 0; k < all || k == 0; k += kColumns) {
      const std::size_t columns = std::min(kColumns, all - k);
      for (std::size_t t = token; t < end; t += n) {
        const std::int16_t* x = a.tiles + t * all + k * n;
        for (std::size_t part = 0; part < kParts; part += parts) {
          VI sums[n][parts];
          Dot<n, parts>(w + k * Layout::column_bytes + part * 4 * N, x, columns, sums);
          Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
            Unroll<parts>([&](auto i) QOMPOSE_FLATTEN {
              std::int32_t* at = kept[t - token + m] + (part + i) * N;
              VI sum = sums[m][i];
              if (k > 0) sum = hn::Add(sum, hn::LoadU(DI(), at));
              if (k + columns < all) {
                hn::StoreU(sum, DI(), at);
              } else if (t + m < end) {
                store(t + m, p * panel_rows + (part + i) * N, sum);
              }
            });
          });
        }
      }
    }
  }

#if QOMPOSE_PLAIN_TARGET
  template <std::size_t n, std::size_t parts>
  static HWY_INLINE void Dot(const std::uint8_t* w, const std::int16_t* x, std::size_t columns,
                             VI (&sums)[n][parts]) {
    std::int32_t lanes[n][parts * N] = {};
    for (std::size_t k = 0; k < columns; k += 4, w += 64, x += 4 * n) {
      for (std::size_t m = 0; m < n; ++m) {
        for (std::size_t i = 0; i < 4 * parts * N; ++i) {
          lanes[m][i / 4] += (w[i] - 128) * x[4 * m + i % 4];
        }
      }
    }
    for (std::size_t m = 0; m < n; ++m) {
      for (std::size_t i = 0; i < parts; ++i) sums[m][i] = hn::LoadU(DI(), &lanes[m][i * N]);
    }
  }
#else
  /// `parts` times N rows with n tokens. A row's four columns are two pairs, summed apart until the
  /// end.
  template <std::size_t n, std::size_t parts>
  static HWY_INLINE void Dot(const std::uint8_t* w, const std::int16_t* x, std::size_t columns,
                             VI (&sums)[n][parts]) {
    const hn::Rebind<std::int8_t, DI16> half;
    const hn::Repartition<std::int64_t, DI16> words;
    VI pairs[n][2 * parts];
    Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
      Unroll<2 * parts>([&](auto i) QOMPOSE_FLATTEN { pairs[m][i] = hn::Zero(DI()); });
    });
    for (std::size_t k = 0; k < columns; k += 4, w += 64, x += 4 * n) {
      const auto* bytes = reinterpret_cast<const std::int8_t*>(w);
      hn::Vec<DI16> ws[2 * parts];
      Unroll<2 * parts>([&](auto i) QOMPOSE_FLATTEN {
        const auto fields = hn::LoadU(half, bytes + i * 2 * N);
        ws[i] = hn::PromoteTo(DI16(), hn::Xor(fields, hn::Set(half, std::int8_t{-128})));
      });
      Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
        std::int64_t word;
        std::memcpy(&word, x + 4 * m, sizeof(word));
        const auto xs = hn::BitCast(DI16(), hn::Set(words, word));
        Unroll<2 * parts>([&](auto i) QOMPOSE_FLATTEN {
          pairs[m][i] = hn::Add(pairs[m][i], DotPairs(ws[i], xs));
        });
      });
    }
    Unroll<n>([&](auto m) QOMPOSE_FLATTEN {
      Unroll<parts>([&](auto i) QOMPOSE_FLATTEN {
        sums[m][i] = hn::Add(hn::ConcatEven(DI(), pairs[m][2 * i + 1], pairs[m][2 * i]),
                             hn::ConcatOdd(DI(), pairs[m][2 * i + 1], pairs[m][2 * i]));
      });
    });
  }
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
