// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Activations, transformed and quantized, in the order in which the products read them.

#if defined(QOMPOSE_KERNELS_PREPARE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_PREPARE_INL_HPP_
#undef QOMPOSE_KERNELS_PREPARE_INL_HPP_
#else
#define QOMPOSE_KERNELS_PREPARE_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/quantize-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/transforms/block_hadamard.hpp"
#include "qompose/transforms/no_transform.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// A transform on rows; the scalar reference serves where no vector version is written.
template <class Transform>
struct ApplyTransform {
  static HWY_INLINE void Run(const typename Transform::data& data, float* row, std::size_t n) {
    Transform::forward(data, row, n);
  }
};

template <std::size_t kBlock>
struct ApplyTransform<block_hadamard<kBlock>> {
  using Transform = block_hadamard<kBlock>;

  static HWY_INLINE void Run(const typename Transform::data& data, float* row, std::size_t n) {
    while (n > 0) {
      const std::size_t length = Transform::block_at(n);
      if (length < N || N == 1) {
        Transform::forward(data, row, length);
      } else {
        Block(row, length);
      }
      row += length;
      n -= length;
    }
  }

 private:
  /// (a, b) -> (a + b, a - b) between lanes `stride` apart, within one vector.
  template <std::size_t stride>
  static HWY_INLINE VF WithinVector(VF v) {
    alignas(64) std::int32_t partner[N];
    for (std::size_t i = 0; i < N; ++i) partner[i] = static_cast<std::int32_t>(i ^ stride);
    alignas(64) std::uint32_t sign[N];
    for (std::size_t i = 0; i < N; ++i) sign[i] = (i & stride) != 0 ? 0x8000'0000u : 0u;
    const VF other = hn::TableLookupLanes(v, hn::SetTableIndices(DF(), partner));
    // The upper lane becomes other - v: exactly a - b, as v only changes its sign.
    const hn::Rebind<std::uint32_t, DF> du;
    const VF signed_v = hn::BitCast(DF(), hn::Xor(hn::BitCast(du, v), hn::Load(du, sign)));
    return hn::Add(other, signed_v);
  }

  static HWY_INLINE void Block(float* row, std::size_t length) {
    for (std::size_t i = 0; i < length; i += N) {
      VF v = hn::LoadU(DF(), row + i);
      if constexpr (N > 1) v = WithinVector<1>(v);
      if constexpr (N > 2) v = WithinVector<2>(v);
      if constexpr (N > 4) v = WithinVector<4>(v);
      if constexpr (N > 8) v = WithinVector<8>(v);
      hn::StoreU(v, DF(), row + i);
    }
    for (std::size_t stride = N; stride < length; stride *= 2) {
      for (std::size_t start = 0; start < length; start += 2 * stride) {
        for (std::size_t i = start; i < start + stride; i += N) {
          const VF a = hn::LoadU(DF(), row + i);
          const VF b = hn::LoadU(DF(), row + i + stride);
          hn::StoreU(hn::Add(a, b), DF(), row + i);
          hn::StoreU(hn::Sub(a, b), DF(), row + i + stride);
        }
      }
    }
    const VF factor = hn::Set(DF(), Transform::normalization(length));
    for (std::size_t i = 0; i < length; i += N) {
      hn::StoreU(hn::Mul(hn::LoadU(DF(), row + i), factor), DF(), row + i);
    }
  }
};

/// Codes of a stretch of a row that shares one scale, in integers of `Format`: nearest even after a
/// true division.
template <class Format>
struct QuantizeRow {
  /// @param x      n floats
  /// @param codes  n codes in -max_code .. max_code
  /// @return the scale; 1 for zeros alone; NaN (and codes of 0) where x holds NaN or infinity, so
  ///         that the fault shows in every result of the row
  static HWY_INLINE float Run(const float* x, std::size_t n, std::int8_t* codes) {
    const float peak = RangeOf::Symmetric(x, n).highest;
    if (!(peak == peak)) {
      std::memset(codes, 0, n);
      return std::numeric_limits<float>::quiet_NaN();
    }
    const float scale = peak / static_cast<float>(Format::max_code);
    if (!(scale > 0.0f)) {
      std::memset(codes, 0, n);
      return 1.0f;
    }
    // Only a scale among the subnormals can push a quotient past max_code; those are clamped.
    Encode<int_n<Format::bits, code_range::symmetric>, no_zero>::Run(x, n, scale, 0.0f, true,
                                                                     codes);
    return scale;
  }

  /// Sum of n codes.
  static HWY_INLINE std::int32_t Sum(const std::int8_t* codes, std::size_t n) {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += codes[i];
    return sum;
  }
};

/// Makes tiles of float activations for @ref FloatMatmul, rounded by `Rounding`, or of int8 codes
/// for @ref IntegerMatmul.
///
/// @tparam Rounding  for floats, `Run(row, n)` rounds a row in place, or void where nothing is to
/// be
///                   rounded; for integers, the format of the codes
template <class Matmul, class Transform, class Rounding>
struct Prepare {
  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return Matmul::TileTokens(n_tokens);
  }

  static constexpr bool kInteger = Matmul::kInteger;
  static constexpr bool kRounds = !kInteger && !std::is_same_v<Rounding, void>;

  /// Tile `tile`, tokens [tile * tile_tokens, ...); `codes` is scratch, one row.
  static void Run(const detail::prepare_arguments& a, const typename Transform::data& data,
                  std::size_t tile, float* scratch, std::int8_t* codes) {
    if constexpr (kInteger) {
      Codes(a, data, tile, scratch, codes);
    } else {
      (void)codes;
      Floats(a, data, tile, scratch);
    }
  }

 private:
  /// Row t, transformed and rounded; a copy in scratch where that changes it.
  static HWY_INLINE const float* Row(const detail::prepare_arguments& a,
                                     const typename Transform::data& data, std::size_t t,
                                     float* scratch) {
    const float* x = a.x + t * a.x_stride;
    if constexpr (Transform::is_identity && !kRounds) {
      return x;
    } else {
      std::memcpy(scratch, x, a.geometry.cols * sizeof(float));
      ApplyTransform<Transform>::Run(data, scratch, a.geometry.cols);
      if constexpr (kRounds) Rounding::Run(scratch, a.geometry.cols);
      return scratch;
    }
  }

  /// The tile as floats.
  static void Floats(const detail::prepare_arguments& a, const typename Transform::data& data,
                     std::size_t tile, float* scratch) {
    const panel_geometry& geometry = a.geometry;
    const std::size_t width = TileTokens(a.n_tokens);
    float* out = reinterpret_cast<float*>(a.tiles.values) + tile * width * geometry.padded_cols;
    const bool padded = geometry.padded_cols != geometry.cols;
    if (padded || (tile + 1) * width > a.n_tokens) {
      std::memset(out, 0, width * geometry.padded_cols * sizeof(float));
    }
    for (std::size_t m = 0; m < width && tile * width + m < a.n_tokens; ++m) {
      const float* row = Row(a, data, tile * width + m, scratch);
      for (std::size_t g = 0; g < geometry.groups; ++g) {
        const std::size_t first = g * geometry.group_cols;
        const std::size_t count = std::min(geometry.group_cols, geometry.cols - first);
        float* at = out + g * geometry.group_stride * width + m;
        for (std::size_t c = 0; c < count; ++c) at[c * width] = row[first + c];
      }
    }
  }

  /// The tile as codes, with scales, corrections and, for offsets, sums.
  static void Codes(const detail::prepare_arguments& a, const typename Transform::data& data,
                    std::size_t tile, float* scratch, std::int8_t* codes) {
    const panel_geometry& geometry = a.geometry;
    const std::size_t width = TileTokens(a.n_tokens);
    auto* out = reinterpret_cast<std::int8_t*>(a.tiles.values) +
                tile * width * geometry.padded_cols / 4 * Matmul::kCodeBytes;
    for (std::size_t m = 0; m < width; ++m) {
      const std::size_t t = tile * width + m;
      float* scales = a.tiles.scales + tile * a.code_groups * width + m;
      if (t < a.n_tokens) {
        QuantizeToken(a, Row(a, data, t, scratch), scales, width, codes);
      } else {
        std::memset(codes, 0, geometry.cols);
        for (std::size_t s = 0; s < a.code_groups; ++s) scales[s * width] = 0.0f;
      }
      for (std::size_t g = 0; g < geometry.groups; ++g) {
        const std::size_t first = g * geometry.group_cols;
        const std::size_t count = std::min(geometry.group_cols, geometry.cols - first);
        const std::size_t padded =
            std::min(geometry.group_stride, geometry.padded_cols - g * geometry.group_stride);
        Interleave(codes + first, count, padded,
                   out + (g * geometry.group_stride / 4 * width + m) * Matmul::kCodeBytes, width);
        const std::int32_t sum = QuantizeRow<Rounding>::Sum(codes + first, count);
        const std::size_t at = (tile * geometry.groups + g) * width + m;
        a.tiles.corrections[at] = Matmul::kCorrection * sum;
        if constexpr (Matmul::kHasOffset) a.tiles.sums[at] = static_cast<float>(sum);
      }
    }
  }

  /// The codes of one token, with a scale for each of its groups; scales take in what the integers
  /// of the weights are raised by.
  static HWY_INLINE void QuantizeToken(const detail::prepare_arguments& a, const float* row,
                                       float* scales, std::size_t width, std::int8_t* codes) {
    for (std::size_t s = 0; s < a.code_groups; ++s) {
      const std::size_t first = s * a.code_group_cols;
      const std::size_t count = std::min(a.code_group_cols, a.geometry.cols - first);
      scales[s * width] =
          QuantizeRow<Rounding>::Run(row + first, count, codes + first) * Matmul::kCodeFactor;
    }
  }

  /// Four codes at a time to every width-th quad, then zeros up to `padded`.
  static HWY_INLINE void Interleave(const std::int8_t* codes, std::size_t count, std::size_t padded,
                                    std::int8_t* out, std::size_t width) {
    const std::size_t step = width * Matmul::kCodeBytes;
    std::size_t c = 0;
    for (; c + 4 <= count; c += 4, out += step) Matmul::StoreCodes(codes + c, out);
    for (; c < padded; c += 4, out += step) {
      std::int8_t quad[4] = {};
      if (c < count) std::memcpy(quad, codes + c, count - c);
      Matmul::StoreCodes(quad, out);
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
