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
#include "qompose/kernels/code_sums-inl.hpp"
#include "qompose/kernels/digits-inl.hpp"
#include "qompose/kernels/quantize-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/stored_scale-inl.hpp"
#include "qompose/kernels/transforms-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

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
};

/// Makes tiles of float activations for @ref FloatMatmul, rounded by `Rounding`, or of int8 codes
/// for @ref IntegerMatmul.
///
/// @tparam Matmul    its `kDigits` rows of codes make one token: 1, or Digits::kCount for floats
/// @tparam Rounding  for floats, what rounds a row in place by `Run(row, n)`, or void; for
/// integers,
///                   the format of the codes, or what has `finds_all_scales` and
///                   `Run(row, n, codes, scales, kWidth)`. Where scales are stored,
///                   `has_stored_scales`: then `Run(row, n, scales)`, or a
///                   detail::stored_scale_codes
template <class Matmul, class Transform, class Rounding>
struct Prepare {
  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return Matmul::TileTokens(n_tokens);
  }

  static constexpr bool kInteger = Matmul::kInteger;
  static constexpr std::size_t kDigits = Matmul::kDigits;
  static constexpr bool kTakesFloats = !kInteger || kDigits > 1;
  static constexpr bool kRounds = kTakesFloats && !std::is_same_v<Rounding, void>;
  static constexpr bool kStored = requires { Rounding::has_stored_scales; };

  /// Tile `tile`, tokens [tile * tile_tokens, ...).
  /// @param scratch  a row of floats
  /// @param codes    tile_tokens rows of codes, detail::code_row_stride apart; unused for floats
  static void Run(const detail::prepare_arguments& a, const typename Transform::data& data,
                  std::size_t tile, float* scratch, std::int8_t* codes) {
    if constexpr (kInteger) {
      Matmul::WithTile(a.n_tokens, [&](auto width) {
        Codes<decltype(width)::value>(a, data, tile, scratch, codes);
      });
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
      ApplyTransform<Transform>::Run(data, x, scratch, a.geometry.cols);
      if constexpr (kRounds && kStored) {
        Rounding::Run(scratch, a.geometry.cols, a.stored_scales);
      } else if constexpr (kRounds) {
        Rounding::Run(scratch, a.geometry.cols);
      }
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
  template <std::size_t kWidth>
  static void Codes(const detail::prepare_arguments& a, const typename Transform::data& data,
                    std::size_t tile, float* scratch, std::int8_t* codes) {
    const panel_geometry& geometry = a.geometry;
    const std::size_t stride = detail::code_row_stride(geometry.cols);
    auto* out = reinterpret_cast<std::int8_t*>(a.tiles.values) +
                tile * kWidth * geometry.padded_cols / 4 * Matmul::kCodeBytes;
    // The codes of one token are its tile but for padding.
    constexpr bool kMayBeTile = kWidth == 1 && Matmul::kCodeBytes == 4;
    if (kMayBeTile && geometry.padded_cols == geometry.cols) codes = out;
    for (std::size_t m = 0; m < kWidth; m += kDigits) {
      const std::size_t t = (tile * kWidth + m) / kDigits;
      float* scales = a.tiles.scales + tile * a.code_groups * kWidth + m;
      if (t >= a.n_tokens) {
        for (std::size_t d = 0; d < kDigits; ++d) {
          std::memset(codes + (m + d) * stride, 0, geometry.cols);
          for (std::size_t s = 0; s < a.code_groups; ++s) scales[s * kWidth + d] = 0.0f;
        }
      } else if constexpr (kDigits > 1) {
        Digits::Run(Row(a, data, t, scratch), geometry.cols, codes + m * stride, stride, scales);
        for (std::size_t d = 0; d < kDigits; ++d) scales[d] *= Matmul::kCodeFactor;
      } else {
        QuantizeToken<kWidth>(a, Row(a, data, t, scratch), scales, codes + m * stride);
      }
      for (std::size_t d = 0; d < kDigits; ++d) {
        const std::size_t at = tile * geometry.groups * kWidth + m + d;
        CodeSums::Groups(codes + (m + d) * stride, geometry.cols, geometry.group_cols,
                         [&](std::size_t g, std::int32_t sum) QOMPOSE_FLATTEN {
                           a.tiles.corrections[at + g * kWidth] = Matmul::kCorrection * sum;
                           if constexpr (Matmul::kHasOffset) {
                             a.tiles.sums[at + g * kWidth] = static_cast<float>(sum);
                           }
                         });
      }
    }
    if (codes == out) return;
    using Tile = typename Matmul::template Tile<kWidth>;
    // Groups without padding between them are as one.
    const bool is_dense = geometry.group_cols == geometry.group_stride;
    const std::size_t group_cols = is_dense ? geometry.cols : geometry.group_cols;
    const std::size_t group_stride = is_dense ? geometry.padded_cols : geometry.group_stride;
    std::size_t place = 0;
    for (std::size_t first = 0; first < geometry.cols; first += group_cols, place += group_stride) {
      const std::size_t count = std::min(group_cols, geometry.cols - first);
      const std::size_t padded = std::min(group_stride, geometry.padded_cols - place);
      Tile::Run(codes + first, stride, count, padded,
                out + place / 4 * kWidth * Matmul::kCodeBytes);
    }
  }

  /// The codes of one token, with a scale for each of its groups; scales take in what the integers
  /// of the weights are raised by.
  template <std::size_t kWidth>
  static HWY_INLINE void QuantizeToken(const detail::prepare_arguments& a, const float* row,
                                       float* scales, std::int8_t* codes) {
    if constexpr (requires { Rounding::finds_all_scales; }) {
      Rounding::Run(row, a.geometry.cols, codes, scales, kWidth);
      for (std::size_t s = 0; s < a.code_groups; ++s) scales[s * kWidth] *= Matmul::kCodeFactor;
    } else {
      for (std::size_t s = 0; s < a.code_groups; ++s) {
        const std::size_t first = s * a.code_group_cols;
        const std::size_t count = std::min(a.code_group_cols, a.geometry.cols - first);
        float scale;
        if constexpr (kStored) {
          scale =
              QuantizeStored<Rounding>::Run(row + first, count, a.stored_scales[s], codes + first);
        } else {
          scale = QuantizeRow<Rounding>::Run(row + first, count, codes + first);
        }
        scales[s * kWidth] = scale * Matmul::kCodeFactor;
      }
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
