// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Weighted sums of values: rows of weights meet the values of a block.

#if defined(QOMPOSE_KERNELS_ATTENTION_VALUES_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ATTENTION_VALUES_INL_HPP_
#undef QOMPOSE_KERNELS_ATTENTION_VALUES_INL_HPP_
#else
#define QOMPOSE_KERNELS_ATTENTION_VALUES_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "qompose/kernels/attention_floats-inl.hpp"
#include "qompose/kernels/attention_integers-inl.hpp"
#include "qompose/kernels/attention_keys-inl.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/quantize-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/packing/cache_block.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Adds weights times values to outputs, [rows][kRowStride] floats.
///
/// Scales of tokens go into the weights. Integer codes meet weights rounded to 0 .. 127, with a
/// scale for each row and stretch of at most kMostTokens tokens: an error of at most 1 / 254 of the
/// largest product of weight and scale in the stretch. All other codes are decoded to floats.
template <class Codes>
class ValuePanels {
  using Panels = FloatPanel<Codes>;
  static constexpr bool kInteger = Codes::has_integers;
  static constexpr std::size_t kRows = detail::attention_rows;

 public:
  static constexpr std::size_t kMostTokens = 64;
  /// Tokens that are added together: a unit of codes, and a panel's worth of weights.
  static constexpr std::size_t kStep = std::max(Codes::step, panel_rows);

  HWY_INLINE ValuePanels(std::size_t head_dim, const float* entries)
      : block_({head_dim, panel_rows}), panel_(entries) {}

  HWY_INLINE void SetBlockTokens(std::size_t tokens) { block_.tokens = tokens; }
  /// Where tokens [place, place + count) of a block lie, or as many as there are.
  [[nodiscard]] HWY_INLINE NextLines Lines(const std::uint8_t* values, std::size_t place,
                                           std::size_t count) const {
    if (count >= block_.tokens) return {values, 1, 0, block_.bytes()};
    const std::size_t last = std::min(place + count, block_.tokens);
    for (std::size_t g = 0; Codes::is_scaled && g < block_.template groups<Codes>(); ++g) {
      hwy::Prefetch(values + block_.scales_at(g) + place * Codes::scale_bytes);
    }
    return {Panel(values, 0, place), block_.padded_dim() / panel_rows, block_.panel_bytes(),
            (last - place) * Codes::column_bytes};
  }

  /// Tokens [place, place + count) of a block, both multiples of kStep.
  /// @param weights  0 for tokens that are not there
  /// @param next     read after the values
  /// @param outputs  [rows][kRowStride]
  HWY_NOINLINE void Add(const std::uint8_t* values, std::size_t place, std::size_t count,
                        const FloatRows& weights, const NextLines& next, float* outputs) {
    const std::size_t dim = block_.padded_dim();
    next_ = next;
    next_.Divide(dim / panel_rows);
    if constexpr (!Codes::is_scaled) {
      Floats(values, place, count, weights, 0, dim, outputs);
    } else {
      const std::size_t group = block_.template group_cols<Codes>();
      for (std::size_t g = 0; g * group < block_.head_dim; ++g) {
        const std::size_t first = g * group;
        const std::size_t last = std::min(dim, round_up(first + group, panel_rows));
        alignas(64) float scales[kMostTokens];
        alignas(64) float offsets[kMostTokens];
        Scales(values, g, place, count, scales, offsets);
        if constexpr (kInteger) {
          codes_.Take(weights, scales, count, count);
          const std::uint8_t* panels = Panel(values, first, place);
          codes_.Multiply(0, 0, panels, block_.panel_bytes(), (last - first) / panel_rows, count,
                          {outputs + first, kRowStride, nullptr, true}, next_);
        } else {
          Weigh(weights, scales, count);
          Floats(values, place, count, {weighed_, kMostTokens, weights.count}, first, last,
                 outputs);
        }
        if constexpr (Codes::has_offset) {
          AddOffsets(weights, offsets, count, first, last, outputs);
        }
      }
    }
    AddOutliers(values, place, count, weights.at, weights.stride, weights.count, outputs);
  }

 private:
  [[nodiscard]] HWY_INLINE const std::uint8_t* Panel(const std::uint8_t* values, std::size_t d,
                                                     std::size_t place) const {
    return values + block_.panel_at(d) + place * Codes::column_bytes;
  }

  /// Elements [first, last) by float products.
  HWY_INLINE void Floats(const std::uint8_t* values, std::size_t place, std::size_t count,
                         const FloatRows& weights, std::size_t first, std::size_t last,
                         float* outputs) {
    const std::size_t n = (last - first) / panel_rows;
    const std::uint8_t* panels = Panel(values, first, place);
    const PanelSums sums{outputs + first, kRowStride, nullptr, true};
    if constexpr (Panels::kPlain) {
      if (Panels::kInPlace || weights.count <= FloatProducts<fp32>::kFew) {
        FloatProducts<typename Codes::element>::Run(weights, panels, block_.panel_bytes(), n, count,
                                                    sums, next_);
        return;
      }
    }
    // So few panels at a time that rows and they share the first cache.
    alignas(64) float floats[kDecodedPanels * panel_rows * kMostTokens];
    const std::size_t floats_apart = count * panel_rows;
    for (std::size_t p = 0; p < n; p += kDecodedPanels) {
      const std::size_t some = std::min(kDecodedPanels, n - p);
      for (std::size_t i = 0; i < some; ++i) {
        const std::uint8_t* panel = panels + (p + i) * block_.panel_bytes();
        panel_.Decode(panel, count, floats + i * floats_apart);
      }
      FloatProducts<fp32>::Run(weights, floats, floats_apart * sizeof(float), some, count,
                               {outputs + first + p * panel_rows, kRowStride, nullptr, true},
                               next_);
    }
  }

  /// Weights times the scales of a group of tokens.
  HWY_INLINE void Weigh(const FloatRows& weights, const float* scales, std::size_t count) {
    for (std::size_t r = 0; r < weights.count; ++r) {
      for (std::size_t t = 0; t < count; t += N) {
        const VF weight = hn::LoadU(DF(), weights.at + r * weights.stride + t);
        hn::Store(hn::Mul(weight, hn::Load(DF(), scales + t)), DF(),
                  weighed_ + r * kMostTokens + t);
      }
    }
  }
  /// Sums of weights and offsets of a group, to all its elements.
  HWY_INLINE void AddOffsets(const FloatRows& weights, const float* offsets, std::size_t count,
                             std::size_t first, std::size_t last, float* outputs) const {
    float sums[kRows];
    alignas(64) float ones[max_head_dim];
    std::fill_n(ones, last - first, 1.0f);
    for (std::size_t r = 0; r < weights.count; ++r) {
      VF sum = hn::Zero(DF());
      for (std::size_t t = 0; t < count; t += N) {
        const VF weight = hn::LoadU(DF(), weights.at + r * weights.stride + t);
        sum = hn::MulAdd(weight, hn::Load(DF(), offsets + t), sum);
      }
      sums[r] = hn::GetLane(hn::SumOfLanes(DF(), sum));
    }
    AddOuterProduct::Run(sums, weights.count, ones, last - first, outputs + first, kRowStride);
  }

  HWY_INLINE void Scales(const std::uint8_t* values, std::size_t g, std::size_t place,
                         std::size_t count, float* scales, float* offsets) const {
    constexpr float kInverse = kInteger ? 1.0f : 1.0f / FloatPanel<Codes>::kFactor;
    for (std::size_t t = 0; t < count; t += N) {
      VF scale = scale_(values + block_.scales_at(g), place + t);
      if constexpr (Codes::has_outer) {
        const auto* outer = reinterpret_cast<const float*>(values + block_.outer_at());
        scale = hn::Mul(scale, hn::LoadU(DF(), outer + place + t));
      }
      if constexpr (Codes::has_offset) {
        VF offset = offset_(values + block_.offsets_at(g), place + t);
        if constexpr (Codes::has_zero_point) offset = hn::Neg(hn::Mul(offset, scale));
        hn::Store(offset, DF(), offsets + t);
      }
      if constexpr (kInverse != 1.0f) scale = hn::Mul(scale, hn::Set(DF(), kInverse));
      hn::Store(scale, DF(), scales + t);
    }
  }

  /// The elements of tokens that are kept apart.
  HWY_INLINE void AddOutliers(const std::uint8_t* values, std::size_t place, std::size_t count,
                              const float* weights, std::size_t stride, std::size_t rows,
                              float* outputs) const {
    for (std::size_t i = 0; i < count * Codes::outliers; ++i) {
      detail::cache_outlier outlier;
      const std::size_t at = place * Codes::outliers + i;
      std::memcpy(&outlier, values + block_.outliers_at() + at * sizeof(outlier), sizeof(outlier));
      const float lacking = fp16::decode(outlier.lacking);
      const float* weight = weights + i / std::max<std::size_t>(Codes::outliers, 1);
      for (std::size_t r = 0; r < rows; ++r) {
        outputs[r * kRowStride + outlier.place] += weight[r * stride] * lacking;
      }
    }
  }

  detail::value_block<Codes> block_;
  Panels panel_;
  StoredNumbers<typename Codes::scale_format> scale_;
  StoredNumbers<typename Codes::offset_format> offset_;
  NextLines next_;
  struct Nothing {};
  std::conditional_t<kInteger, CodeRows<Codes, kMostTokens, 1, true>, Nothing> codes_;
  alignas(64) float weighed_[Codes::is_scaled && !kInteger ? kRows * kMostTokens : 1];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
