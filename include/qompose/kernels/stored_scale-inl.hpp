// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Codes of activations by scales that are known before the row is.

#if defined(QOMPOSE_KERNELS_STORED_SCALE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_STORED_SCALE_INL_HPP_
#undef QOMPOSE_KERNELS_STORED_SCALE_INL_HPP_
#else
#define QOMPOSE_KERNELS_STORED_SCALE_INL_HPP_
#endif

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "qompose/formats/int_n.hpp"
#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/quantize-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Codes of a stretch of a row, nearest even after a true division, in one pass. The primary
/// template has no definition.
template <class Codes>
struct QuantizeStored;

template <class Format>
struct QuantizeStored<detail::stored_scale_codes<Format>> {
  /// @param x      n floats
  /// @param scale  positive and finite
  /// @param codes  n codes; they saturate at -max_code and max_code
  /// @return the scale; NaN (and codes of 0) where x holds NaN or infinity, so that the fault shows
  ///         in every result of the row
  static HWY_INLINE float Run(const float* x, std::size_t n, float scale, std::int8_t* codes) {
    bool finite = true;
    if constexpr (N > 1) {
      const Divider divider(scale);
      for (std::size_t first = 0; first < n; first += kTogether) {
        const std::size_t count = n - first < kTogether ? n - first : kTogether;
        finite = finite && (divider.ByReciprocal()
                                ? Stretch<true>(divider, scale, x + first, count, codes + first)
                                : Stretch<false>(divider, scale, x + first, count, codes + first));
      }
    } else {
      float poison = 0.0f;
      for (std::size_t i = 0; i < n; ++i) {
        codes[i] = int_n<Format::bits, code_range::symmetric>::encode(x[i] / scale);
        poison += x[i] * 0.0f;
      }
      finite = poison == 0.0f;
    }
    if (finite) return scale;
    std::memset(codes, 0, n);
    return std::numeric_limits<float>::quiet_NaN();
  }

 private:
  using DU = hn::Rebind<std::uint32_t, DF>;
  using VU = hn::Vec<DU>;
  static constexpr std::uint32_t kInfinity = 0x7f80'0000u;
  /// What is encoded again where one of its numbers saturates.
  static constexpr std::size_t kTogether = 1024;

  /// @return whether all numbers are finite
  template <bool kReciprocal>
  static HWY_INLINE bool Stretch(const Divider& divider, float scale, const float* x, std::size_t n,
                                 std::int8_t* codes) {
    const float limit = Format::max_finite * scale;
    std::uint32_t limit_word;
    std::memcpy(&limit_word, &limit, sizeof(limit_word));
    // Most stretches have nothing to clamp, which the largest magnitude tells, and it comes along.
    const std::uint32_t top = Vectors<kReciprocal, false>(divider, limit, x, n, codes);
    if (top <= 2 * limit_word) return top < 2 * kInfinity;
    if (top < 2 * kInfinity) Vectors<kReciprocal, true>(divider, limit, x, n, codes);
    return top < 2 * kInfinity;
  }

  /// @return the largest magnitude as a word, shifted left
  template <bool kReciprocal, bool kClamp>
  static HWY_INLINE std::uint32_t Vectors(const Divider& divider, float limit, const float* x,
                                          std::size_t n, std::int8_t* codes) {
    VU top = hn::Zero(DU());
    std::size_t i = 0;
    for (; i + 4 * N <= n; i += 4 * N) {
      Step<kReciprocal, kClamp>(divider, limit, x + i, codes + i, top);
    }
    if (i < n) {
      alignas(64) float padded[4 * N] = {};
      std::int8_t tail[4 * N];
      std::memcpy(padded, x + i, (n - i) * sizeof(float));
      Step<kReciprocal, kClamp>(divider, limit, padded, tail, top);
      std::memcpy(codes + i, tail, n - i);
    }
    return hn::GetLane(hn::MaxOfLanes(DU(), top));
  }

  /// Numbers are clamped to what the largest code stands for before they are divided: the same
  /// codes, and no quotient that overflows.
  template <bool kReciprocal, bool kClamp>
  static HWY_INLINE void Step(const Divider& divider, float limit, const float* x,
                              std::int8_t* codes, VU& top) {
    const VF highest = hn::Set(DF(), limit);
    const VF lowest = hn::Neg(highest);
    VF v[4];
    VI code[4];
    Unroll<4>([&](auto j) QOMPOSE_FLATTEN { v[j] = hn::LoadU(DF(), x + j * N); });
    if constexpr (kClamp) {
      Unroll<4>([&](auto j) QOMPOSE_FLATTEN { v[j] = hn::Min(hn::Max(v[j], lowest), highest); });
    } else {
      const auto word = [&](std::size_t j) QOMPOSE_FLATTEN {
        const VU bits = hn::BitCast(DU(), v[j]);
        return hn::Add(bits, bits);
      };
      top = hn::Max(top, hn::Max(hn::Max(word(0), word(1)), hn::Max(word(2), word(3))));
    }
    Unroll<4>([&](auto j)
                  QOMPOSE_FLATTEN { code[j] = RoundToInt(divider.Divide<kReciprocal>(v[j])); });
    StoreAsBytes(code[0], code[1], code[2], code[3], codes);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
