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
    bool finite = false;
    if constexpr (N > 1) {
      const Divider divider(scale);
      const float limit = Format::max_finite * scale;
      finite = divider.ByReciprocal() ? Vectors<true>(divider, limit, x, n, codes)
                                      : Vectors<false>(divider, limit, x, n, codes);
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

  /// @return whether all numbers are finite
  template <bool kReciprocal>
  static HWY_INLINE bool Vectors(const Divider& divider, float limit, const float* x, std::size_t n,
                                 std::int8_t* codes) {
    VU top = hn::Zero(DU());
    std::size_t i = 0;
    for (; i + 4 * N <= n; i += 4 * N) Step<kReciprocal>(divider, limit, x + i, codes + i, top);
    if (i < n) {
      alignas(64) float padded[4 * N] = {};
      std::int8_t tail[4 * N];
      std::memcpy(padded, x + i, (n - i) * sizeof(float));
      Step<kReciprocal>(divider, limit, padded, tail, top);
      std::memcpy(codes + i, tail, n - i);
    }
    return hn::GetLane(hn::MaxOfLanes(DU(), top)) < 0xff00'0000u;
  }

  /// Numbers are clamped to what the largest code stands for before they are divided: the same
  /// codes, and no quotient that overflows.
  template <bool kReciprocal>
  static HWY_INLINE void Step(const Divider& divider, float limit, const float* x,
                              std::int8_t* codes, VU& top) {
    const VF highest = hn::Set(DF(), limit);
    const VF lowest = hn::Neg(highest);
    VI code[4];
    Unroll<4>([&](auto j) QOMPOSE_FLATTEN {
      const VF v = hn::LoadU(DF(), x + j * N);
      const VU word = hn::BitCast(DU(), v);
      // Words of magnitudes, shifted left; the finite ones are below that of infinity.
      top = hn::Max(top, hn::Add(word, word));
      const VF within = hn::Min(hn::Max(v, lowest), highest);
      code[j] = RoundToInt(divider.Divide<kReciprocal>(within));
    });
    StoreAsBytes(code[0], code[1], code[2], code[3], codes);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
