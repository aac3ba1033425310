// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Vectors transposed in registers.

#if defined(QOMPOSE_KERNELS_TRANSPOSE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_TRANSPOSE_INL_HPP_
#undef QOMPOSE_KERNELS_TRANSPOSE_INL_HPP_
#else
#define QOMPOSE_KERNELS_TRANSPOSE_INL_HPP_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

#if !QOMPOSE_PLAIN_TARGET
/// Four vectors of words, of which each block of four lanes is a row of a square: transposed.
template <class D>
HWY_INLINE void TransposeBlocks(D d, hn::Vec<D>* v) {
  using Pair = std::conditional_t<std::is_same_v<D, DF>, double, std::int64_t>;
  const hn::Repartition<Pair, D> pairs;
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, v[0], v[1]));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, v[0], v[1]));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, v[2], v[3]));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, v[2], v[3]));
  v[0] = hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23));
  v[1] = hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23));
  v[2] = hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23));
  v[3] = hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23));
}
#endif

/// Lane i of vector j becomes lane j of vector i.
HWY_INLINE void Transpose(VF (&v)[N]) {
#if HWY_ARCH_X86 && (HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_AVX2)
  Unroll<N / 4>([&](auto square) QOMPOSE_FLATTEN { TransposeBlocks(DF(), v + 4 * square); });
  // Blocks as they are, transposed.
  Unroll<4>([&](auto i) QOMPOSE_FLATTEN {
#if HWY_TARGET <= HWY_AVX3
    const __m512 even01 = _mm512_shuffle_f32x4(v[i].raw, v[4 + i].raw, 0x88);
    const __m512 odd01 = _mm512_shuffle_f32x4(v[i].raw, v[4 + i].raw, 0xDD);
    const __m512 even23 = _mm512_shuffle_f32x4(v[8 + i].raw, v[12 + i].raw, 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(v[8 + i].raw, v[12 + i].raw, 0xDD);
    v[i] = VF{_mm512_shuffle_f32x4(even01, even23, 0x88)};
    v[4 + i] = VF{_mm512_shuffle_f32x4(odd01, odd23, 0x88)};
    v[8 + i] = VF{_mm512_shuffle_f32x4(even01, even23, 0xDD)};
    v[12 + i] = VF{_mm512_shuffle_f32x4(odd01, odd23, 0xDD)};
#else
    const VF low = hn::ConcatLowerLower(DF(), v[4 + i], v[i]);
    v[4 + i] = hn::ConcatUpperUpper(DF(), v[4 + i], v[i]);
    v[i] = low;
#endif
  });
#else
  float from[N * N], to[N * N];
  for (std::size_t j = 0; j < N; ++j) hn::StoreU(v[j], DF(), from + j * N);
  for (std::size_t i = 0; i < N * N; ++i) to[i] = from[i % N * N + i / N];
  for (std::size_t j = 0; j < N; ++j) v[j] = hn::LoadU(DF(), to + j * N);
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
