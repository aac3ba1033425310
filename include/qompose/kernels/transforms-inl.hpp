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

#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/hadamard-inl.hpp"
#include "qompose/kernels/signed_sums-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/transforms/block_hadamard.hpp"
#include "qompose/transforms/hadamard.hpp"
#include "qompose/transforms/then.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// A transform on rows; the scalar reference serves where no vector version is written.
template <class Transform>
struct ApplyTransform {
  /// @param x  n floats
  /// @param y  n floats, overwritten; may be x
  static HWY_INLINE void Run(const typename Transform::data& data, const float* x, float* y,
                             std::size_t n) {
    if (x != y) std::memcpy(y, x, n * sizeof(float));
    Transform::forward(data, y, n);
  }
};

/// A factor for each channel.
template <class Transform>
  requires requires(const typename Transform::data& data) { data.factors; }
struct ApplyTransform<Transform> {
  static HWY_INLINE void Run(const typename Transform::data& data, const float* x, float* y,
                             std::size_t n) {
    const float* factors = data.factors.data();
    const std::size_t whole = n / N * N;
    for (std::size_t i = 0; i < whole; i += N) {
      const VF v = hn::LoadU(DF(), x + i);
      hn::StoreU(hn::Mul(v, hn::LoadU(DF(), factors + i)), DF(), y + i);
    }
    if (whole < n) {
      const VF v = LoadFirst(x + whole, n - whole);
      StoreFirst(hn::Mul(v, LoadFirst(factors + whole, n - whole)), y + whole, n - whole);
    }
  }
};

template <class A, class B>
struct ApplyTransform<then<A, B>> {
  static HWY_INLINE void Run(const typename then<A, B>::data& data, const float* x, float* y,
                             std::size_t n) {
    ApplyTransform<A>::Run(data.first, x, y, n);
    ApplyTransform<B>::Run(data.second, y, y, n);
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
        if (x != y) std::memcpy(y + done, x + done, (n - done) * sizeof(float));
        return Transform::forward(data, y + done, n - done);
      }
      WalshHadamard::Run<kBlock>(x + done, y + done, length, count,
                                 Transform::normalization(length));
      done += count * length;
    }
  }
};

template <>
struct ApplyTransform<hadamard> {
  static HWY_INLINE void Run(const hadamard::data& data, const float* x, float* y, std::size_t n) {
    if (data.width < N || N == 1) {
      if (x != y) std::memcpy(y, x, n * sizeof(float));
      return hadamard::forward(data, y, n);
    }
    if (data.order == 1) {
      return WalshHadamard::Run(x, y, data.width, n / data.width, data.factor);
    }
    WalshHadamard::Sums(x, y, data.width, data.order);
    SignedSums::Run(data.signs.data(), data.order, y, data.width, data.factor);
  }
};

/// Undoes a transform of sixteen rows side by side, [n][16], one after the other.
template <class Transform>
HWY_INLINE void UnfoldEach(const typename Transform::data& data, float* columns, std::size_t n) {
  float row[max_head_dim];
  for (std::size_t lane = 0; lane < panel_rows; ++lane) {
    for (std::size_t i = 0; i < n; ++i) row[i] = columns[i * panel_rows + lane];
    Transform::unfold(data, row, n);
    for (std::size_t i = 0; i < n; ++i) columns[i * panel_rows + lane] = row[i];
  }
}

/// The same together, where a transform has a way.
/// @pre n <= max_head_dim
template <class Transform>
struct UnfoldColumns {
  static HWY_INLINE void Run(const typename Transform::data& data, float* columns, std::size_t n) {
    UnfoldEach<Transform>(data, columns, n);
  }
};

/// Sums of the scalar code, in its order, where rows are powers of two: a matrix that is its own
/// transposed one.
template <>
struct UnfoldColumns<hadamard> {
  static HWY_NOINLINE void Run(const hadamard::data& data, float* columns, std::size_t n) {
    if (data.order > 1) return UnfoldEach<hadamard>(data, columns, n);
    for (std::size_t first = 0; first < n; first += data.width) {
      float* part = columns + first * panel_rows;
      for (std::size_t stride = 1; stride < data.width; stride *= 2) {
        for (std::size_t i = 0; i < data.width; i += 2 * stride) {
          for (std::size_t at = i * panel_rows; at < (i + stride) * panel_rows; at += N) {
            float* other = part + at + stride * panel_rows;
            const VF a = hn::LoadU(DF(), part + at);
            const VF b = hn::LoadU(DF(), other);
            hn::StoreU(hn::Add(a, b), DF(), part + at);
            hn::StoreU(hn::Sub(a, b), DF(), other);
          }
        }
      }
    }
    const VF factor = hn::Set(DF(), data.factor);
    for (std::size_t at = 0; at < n * panel_rows; at += N) {
      hn::StoreU(hn::Mul(hn::LoadU(DF(), columns + at), factor), DF(), columns + at);
    }
  }
};

/// A transform of one row, for callers outside the kernels.
template <class Transform>
struct TransformRow {
  static void Run(const typename Transform::data& data, const float* x, float* y, std::size_t n) {
    ApplyTransform<Transform>::Run(data, x, y, n);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
