// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief The fast Walsh-Hadamard transform on floats, several stages a pass.

#if defined(QOMPOSE_KERNELS_HADAMARD_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_HADAMARD_INL_HPP_
#undef QOMPOSE_KERNELS_HADAMARD_INL_HPP_
#else
#define QOMPOSE_KERNELS_HADAMARD_INL_HPP_
#endif

#include <bit>
#include <cstddef>

#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Blocks of floats times the Sylvester-Hadamard matrix and a factor.
///
/// Every output is the same tree of additions as in the scalar reference, strides 1, 2, 4, ...,
/// however the stages are cut into passes, so results are equal bit for bit. Stages within a vector
/// and between up to 16 vectors are one pass; longer blocks are made of shorter ones that are done
/// before they leave the cache, so memory is touched once for every three or four stages.
struct WalshHadamard {
  /// @param x       count * length floats
  /// @param y       the same; may be x
  /// @param length  a power of two, at least N
  /// @param factor  what the sums are multiplied by; 1 leaves them as they are
  static void Run(const float* x, float* y, std::size_t length, std::size_t count, float factor) {
    const auto stages = static_cast<std::size_t>(std::countr_zero(length / N));
    if (stages <= kMostStages) return WithStages<true>(stages, x, y, N, length * count, factor);
    // Passes of about as many stages each; but rows that lie a multiple of 4 KiB apart share a few
    // places of the L1 cache, so only four of those meet at a time.
    std::size_t last = divide_up(stages, divide_up(stages, kMostStages));
    if (length > kNear) last = 2;
    const std::size_t part = length >> last;
    for (std::size_t b = 0; b < count; ++b) {
      Run(x + b * length, y + b * length, part, std::size_t{1} << last, 1.0f);
      WithStages<false>(last, y + b * length, y + b * length, part, length, factor);
    }
  }

 private:
  static constexpr std::size_t kMostStages = 4;
  /// Floats of half an L1 cache.
  static constexpr std::size_t kNear = 4096;

  /// A pass of `stages` stages over `total` floats; rows that meet are `stride` apart.
  /// @tparam kFirst  the stages within a vector come before
  template <bool kFirst>
  static HWY_INLINE void WithStages(std::size_t stages, const float* x, float* y,
                                    std::size_t stride, std::size_t total, float factor) {
    switch (stages) {
      case 0:
        return Pass<0, kFirst>(x, y, stride, total, factor);
      case 1:
        return Pass<1, kFirst>(x, y, stride, total, factor);
      case 2:
        return Pass<2, kFirst>(x, y, stride, total, factor);
      case 3:
        return Pass<3, kFirst>(x, y, stride, total, factor);
      default:
        return Pass<4, kFirst>(x, y, stride, total, factor);
    }
  }

  template <std::size_t kStages, bool kFirst>
  static void Pass(const float* x, float* y, std::size_t stride, std::size_t total, float factor) {
    if (factor == 1.0f) {
      Columns<kStages, kFirst>(x, y, stride, total, [](VF v) QOMPOSE_FLATTEN { return v; });
    } else {
      const VF by = hn::Set(DF(), factor);
      Columns<kStages, kFirst>(x, y, stride, total,
                               [by](VF v) QOMPOSE_FLATTEN { return hn::Mul(v, by); });
    }
  }

  template <std::size_t kStages, bool kFirst, class Finish>
  static HWY_INLINE void Columns(const float* x, float* y, std::size_t stride, std::size_t total,
                                 Finish finish) {
    if constexpr (kFirst) stride = N;
    for (std::size_t first = 0; first < total; first += stride << kStages) {
      for (std::size_t i = first; i < first + stride; i += N) {
        if constexpr (kStages < 4) {
          VF v[std::size_t{1} << kStages];
          Butterflies<kFirst>(x + i, stride, v);
          Unroll<(std::size_t{1} << kStages)>(
              [&](auto j) QOMPOSE_FLATTEN { hn::StoreU(finish(v[j]), DF(), y + i + j * stride); });
        } else {
          Sixteen<kFirst>(x + i, y + i, stride, finish);
        }
      }
    }
  }

  /// Sixteen vectors as twice eight: the first half waits in y, as registers are few.
  template <bool kFirst, class Finish>
  static HWY_INLINE void Sixteen(const float* x, float* y, std::size_t stride, Finish finish) {
    VF v[8];
    Butterflies<kFirst>(x, stride, v);
    Unroll<8>([&](auto j) QOMPOSE_FLATTEN { hn::StoreU(v[j], DF(), y + j * stride); });
    Butterflies<kFirst>(x + 8 * stride, stride, v);
    Unroll<8>([&](auto j) QOMPOSE_FLATTEN {
      const VF a = hn::LoadU(DF(), y + j * stride);
      hn::StoreU(finish(hn::Add(a, v[j])), DF(), y + j * stride);
      hn::StoreU(finish(hn::Sub(a, v[j])), DF(), y + (j + 8) * stride);
    });
  }

  /// Loads vectors that lie `stride` apart and transforms them.
  template <bool kFirst, std::size_t kVectors>
  static HWY_INLINE void Butterflies(const float* x, std::size_t stride, VF (&v)[kVectors]) {
    Unroll<kVectors>([&](auto j) QOMPOSE_FLATTEN { v[j] = hn::LoadU(DF(), x + j * stride); });
    // Stage by stage, so that what waits for a result stands far behind it.
    if constexpr (kFirst) {
      if constexpr (N > 1) Within<1>(v);
      if constexpr (N > 2) Within<2>(v);
      if constexpr (N > 4) Within<4>(v);
      if constexpr (N > 8) Within<8>(v);
    }
    Between<1>(v);
    Between<2>(v);
    Between<4>(v);
  }

  /// (a, b) -> (a + b, a - b) between vectors `kStride` apart.
  template <std::size_t kStride, std::size_t kVectors>
  static HWY_INLINE void Between(VF (&v)[kVectors]) {
    if constexpr (kStride < kVectors) {
      Unroll<kVectors / 2>([&](auto j) QOMPOSE_FLATTEN {
        constexpr std::size_t i = j / kStride * 2 * kStride + j % kStride;
        const VF a = v[i];
        v[i] = hn::Add(a, v[i + kStride]);
        v[i + kStride] = hn::Sub(a, v[i + kStride]);
      });
    }
  }

  /// The same between lanes `kStride` apart, within each vector: a lane's partner plus or minus the
  /// lane. Products with +-1 are exact; the last stage changes signs instead, as adders are idle
  /// while multipliers have enough to do.
  template <std::size_t kStride, std::size_t kVectors>
  static HWY_INLINE void Within(VF (&v)[kVectors]) {
    alignas(64) static constexpr Lanes kSigns = SignsOf(kStride);
    const VF signs = hn::Load(DF(), kSigns.lane);
    const VF sign_bits = hn::And(signs, hn::Set(DF(), -0.0f));
    Unroll<kVectors>([&](auto j) QOMPOSE_FLATTEN {
      const VF partner = Partner<kStride>(v[j]);
      if constexpr (2 * kStride == N) {
        v[j] = hn::Add(partner, hn::Xor(v[j], sign_bits));
      } else {
        v[j] = hn::MulAdd(v[j], signs, partner);
      }
    });
  }

  /// Lane i is lane i ^ kStride of v.
  template <std::size_t kStride>
  static HWY_INLINE VF Partner(VF v) {
#if HWY_TARGET == HWY_SCALAR
    return v;
#else
    if constexpr (kStride == 1) {
      return hn::Reverse2(DF(), v);
    } else if constexpr (2 * kStride == N) {
      return hn::ConcatLowerUpper(DF(), v, v);
    } else if constexpr (kStride == 2) {
      return hn::Shuffle1032(v);
    } else {
      return hn::SwapAdjacentBlocks(v);
    }
#endif
  }

  struct Lanes {
    float lane[N];
  };
  static constexpr Lanes SignsOf(std::size_t stride) {
    Lanes signs{};
    for (std::size_t i = 0; i < N; ++i) signs.lane[i] = (i & stride) != 0 ? -1.0f : 1.0f;
    return signs;
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
