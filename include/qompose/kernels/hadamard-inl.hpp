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
/// before they leave the cache, so memory is touched once for every two or three further stages.
///
/// Butterflies are bound by the ports that add. A product with +-1 is exact, so that a fused
/// multiply-add is an addition for the ports that multiply; stages take as many of these as keeps
/// both kinds of ports busy where they differ.
struct WalshHadamard {
  static constexpr std::size_t kAnyLength = std::size_t{1} << 63;

  /// @param x       count * length floats
  /// @param y       the same; may be x
  /// @param length  a power of two, at least N and at most kLongest
  /// @param factor  what the sums are multiplied by
  template <std::size_t kLongest = kAnyLength>
  static void Run(const float* x, float* y, std::size_t length, std::size_t count, float factor) {
    const VF by = hn::Set(DF(), factor);
    Blocks<kLongest>(x, y, length, count, [by](VF v) QOMPOSE_FLATTEN { return hn::Mul(v, by); });
  }
  /// The same without a factor.
  template <std::size_t kLongest = kAnyLength>
  static void Sums(const float* x, float* y, std::size_t length, std::size_t count) {
    Blocks<kLongest>(x, y, length, count, [](VF v) QOMPOSE_FLATTEN { return v; });
  }

 private:
  /// Stages between vectors that the first pass has room for.
  static constexpr std::size_t kFirstStages = 4;
  /// Floats of half an L1 cache.
  static constexpr std::size_t kNear = 4096;
  /// Whether sixteen vectors and what their sums need fit the registers.
  static constexpr bool kManyRegisters =
      HWY_ARCH_ARM_A64 || (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3);

  template <std::size_t kLongest, class Finish>
  static void Blocks(const float* x, float* y, std::size_t length, std::size_t count,
                     Finish finish) {
    const auto stages = static_cast<std::size_t>(std::countr_zero(length / N));
    if constexpr (kLongest / N > 1 << kFirstStages) {
      if (stages > kFirstStages) {
        // Rows that lie a multiple of 4 KiB apart share a few places of the L1 cache, so only four
        // of those meet at a time, unless a vector is a whole cache line and no line is visited
        // twice.
        const bool by_four = (length > kNear && N < 16) || stages == kFirstStages + 1;
        const std::size_t part = length >> (by_four ? 2 : 3);
        for (std::size_t b = 0; b < count; ++b) {
          float* block = y + b * length;
          Sums<kLongest>(x + b * length, block, part, length / part);
          if (by_four) {
            Pass<2, false>(block, block, part, length, finish);
          } else {
            Pass<3, false>(block, block, part, length, finish);
          }
        }
        return;
      }
    }
    First<kLongest / N>(stages, x, y, length * count, finish);
  }

  /// The stages within vectors and `stages` between neighbours, over `total` floats.
  template <std::size_t kMostVectors, std::size_t kStages = 0, class Finish>
  static HWY_INLINE void First(std::size_t stages, const float* x, float* y, std::size_t total,
                               Finish finish) {
    if constexpr (kStages < kFirstStages && std::size_t{2} << kStages <= kMostVectors) {
      if (stages > kStages) {
        return First<kMostVectors, kStages + 1>(stages, x, y, total, finish);
      }
    }
    Pass<kStages, true>(x, y, N, total, finish);
  }

  /// A pass of `kStages` stages over `total` floats; vectors that meet are `stride` apart.
  /// @tparam kFirst  the stages within a vector come before
  template <std::size_t kStages, bool kFirst, class Finish>
  static void Pass(const float* x, float* y, std::size_t stride, std::size_t total, Finish finish) {
    if constexpr (kFirst) stride = N;
    for (std::size_t first = 0; first < total; first += stride << kStages) {
      for (std::size_t i = first; i < first + stride; i += N) {
        if constexpr (kStages < 4 || kManyRegisters) {
          VF v[std::size_t{1} << kStages];
          Butterflies<kFirst>(x + i, stride, v);
          Unroll<(std::size_t{1} << kStages)>(
              [&](auto j) QOMPOSE_FLATTEN { hn::StoreU(finish(v[j]), DF(), y + i + j * stride); });
        } else {
          Sixteen(x + i, y + i, finish);
        }
      }
    }
  }

  /// Sixteen neighbours as twice eight, as registers are few.
  template <class Finish>
  static HWY_INLINE void Sixteen(const float* x, float* y, Finish finish) {
    VF a[8];
    VF b[8];
    Butterflies<true>(x, N, a);
    Butterflies<true>(x + 8 * N, N, b);
    Unroll<8>([&](auto j) QOMPOSE_FLATTEN {
      hn::StoreU(finish(hn::Add(a[j], b[j])), DF(), y + j * N);
      hn::StoreU(finish(Difference<true>(a[j], b[j])), DF(), y + (j + 8) * N);
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
    // The first pass has shuffles, which share ports with additions.
    Between<1, true>(v);
    Between<2, kFirst>(v);
    Between<4, kFirst>(v);
    Between<8, kFirst>(v);
  }

  /// (a, b) -> (a + b, a - b) between vectors `kStride` apart.
  template <std::size_t kStride, bool kMultiplies, std::size_t kVectors>
  static HWY_INLINE void Between(VF (&v)[kVectors]) {
    if constexpr (kStride < kVectors) {
      Unroll<kVectors / 2>([&](auto j) QOMPOSE_FLATTEN {
        constexpr std::size_t i = j / kStride * 2 * kStride + j % kStride;
        const VF a = v[i];
        v[i] = hn::Add(a, v[i + kStride]);
        v[i + kStride] = Difference<kMultiplies>(a, v[i + kStride]);
      });
    }
  }

  /// a - b, by the ports that multiply or those that add.
  template <bool kMultiplies>
  static HWY_INLINE VF Difference(VF a, VF b) {
    if constexpr (kMultiplies && kFused) return hn::NegMulAdd(b, hn::Set(DF(), 1.0f), a);
    return hn::Sub(a, b);
  }

  /// The same between lanes `kStride` apart, within each vector: a lane's partner plus or minus the
  /// lane.
  template <std::size_t kStride, std::size_t kVectors>
  static HWY_INLINE void Within(VF (&v)[kVectors]) {
    alignas(64) static constexpr Lanes kSigns = SignsOf(kStride);
    const VF signs = hn::Load(DF(), kSigns.lane);
    const VF sign_bits = hn::And(signs, hn::Set(DF(), -0.0f));
    Unroll<kVectors>([&](auto j) QOMPOSE_FLATTEN {
      const VF partner = Partner<kStride>(v[j]);
      if constexpr (kFused) {
        v[j] = hn::MulAdd(v[j], signs, partner);
      } else {
        v[j] = hn::Add(partner, hn::Xor(v[j], sign_bits));
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
