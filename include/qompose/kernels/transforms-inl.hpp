// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Transforms on rows of activations, by vector.

#if defined(QOMPOSE_KERNELS_TRANSFORMS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_TRANSFORMS_INL_HPP_
#undef QOMPOSE_KERNELS_TRANSFORMS_INL_HPP_
#else
#define QOMPOSE_KERNELS_TRANSFORMS_INL_HPP_
#endif

#include <cstddef>
#include <cstring>

#include "qompose/kernels/hadamard-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/transforms/block_hadamard.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// A transform on rows; the scalar reference serves where no vector version is written.
template <class Transform>
struct ApplyTransform {
  /// @param x  n floats
  /// @param y  n floats, overwritten; not x
  static HWY_INLINE void Run(const typename Transform::data& data, const float* x, float* y,
                             std::size_t n) {
    std::memcpy(y, x, n * sizeof(float));
    Transform::forward(data, y, n);
  }
};

template <std::size_t kBlock>
struct ApplyTransform<block_hadamard<kBlock>> {
  using Transform = block_hadamard<kBlock>;

  static HWY_INLINE void Run(const typename Transform::data& data, const float* x, float* y,
                             std::size_t n) {
    std::size_t done = 0;
    while (done < n) {
      const std::size_t length = Transform::block_at(n - done);
      const std::size_t count = (n - done) / length;
      if (length < N || N == 1) {
        std::memcpy(y + done, x + done, (n - done) * sizeof(float));
        return Transform::forward(data, y + done, n - done);
      }
      WalshHadamard::Run(x + done, y + done, length, count, Transform::normalization(length));
      done += count * length;
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
