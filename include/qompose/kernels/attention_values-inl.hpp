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

/// Adds weights times values to outputs, [rows][kOutputStride] floats.
///
/// Scales of tokens go into the weights. Integer codes meet weights rounded to 0 .. 127, with a
/// scale for each row and stretch of at most kMostTokens tokens: an error of at most 1 / 254 of the
/// largest product of weight and scale in the stretch. All other codes are decoded to floats.
template <class Codes>
class ValuePanels {
  static constexpr bool kInteger = Codes::has_integers;
  static constexpr std::size_t kRows = detail::attention_rows;

 public:
  static constexpr std::size_t kMostTokens = 64;
  /// Tokens that are added together: a unit of codes, and a panel's worth of weights.
  static constexpr std::size_t kStep = std::max(Codes::step, panel_rows);
  static constexpr std::size_t kOutputStride = max_head_dim;

  HWY_INLINE ValuePanels(std::size_t head_dim, const float* entries)
      : block_({head_dim, panel_rows}), panel_(entries) {}

  HWY_INLINE void SetBlockTokens(std::size_t tokens) { block_.tokens = tokens; }

  /// Tokens [place, place + count) of a block, both multiples of kStep.
  /// @param weights  [rows][stride], 0 for tokens that are not there
  HWY_INLINE void Add(const std::uint8_t* values, std::size_t place, std::size_t count,
                      const float* weights, std::size_t stride, std::size_t rows, float* outputs) {
    const std::size_t dim = block_.padded_dim();
    if constexpr (!Codes::is_scaled) {
      for (std::size_t d = 0; d < dim; d += panel_rows) {
        Floats(values, place, count, weights, stride, rows, d, outputs);
      }
    } else {
      const std::size_t group = block_.template group_cols<Codes>();
      for (std::size_t g = 0; g * group < block_.head_dim; ++g) {
        Weigh(values, g, place, count, weights, stride, rows);
        const std::size_t last = std::min(dim, round_up((g + 1) * group, panel_rows));
        for (std::size_t d = g * group; d < last; d += panel_rows) {
          if constexpr (kInteger) {
            Integers(values, place, count, d, outputs);
          } else {
            Floats(values, place, count, weighed_, kMostTokens, rows, d, outputs);
          }
          if constexpr (Codes::has_offset) AddOffsets(rows, d, outputs);
        }
      }
    }
    AddOutliers(values, place, count, weights, stride, rows, outputs);
  }

 private:
  static HWY_INLINE float* Output(float* outputs, std::size_t row, std::size_t d) {
    return outputs + row * kOutputStride + d;
  }
  [[nodiscard]] HWY_INLINE const std::uint8_t* Panel(const std::uint8_t* values, std::size_t d,
                                                     std::size_t place) const {
    return values + block_.panel_at(d) + place * Codes::column_bytes;
  }

  HWY_INLINE void Floats(const std::uint8_t* values, std::size_t place, std::size_t count,
                         const float* weights, std::size_t stride, std::size_t rows, std::size_t d,
                         float* outputs) const {
    const std::uint8_t* panel = Panel(values, d, place);
    const auto add = [&](std::size_t r, std::size_t part, VF sum) QOMPOSE_FLATTEN {
      float* at = Output(outputs, r, d) + part * N;
      hn::StoreU(hn::Add(hn::LoadU(DF(), at), sum), DF(), at);
    };
    if constexpr (FloatPanel<Codes>::kInPlace) {
      MultiplyAllRows(weights, stride, FloatColumns{reinterpret_cast<const float*>(panel)}, count,
                      rows, add);
      return;
    }
    if constexpr (FloatPanel<Codes>::kPlain) {
      if (rows <= kFloatRows) {
        MultiplyAllRows(weights, stride, HalfColumns<typename Codes::element>{panel}, count, rows,
                        add);
        return;
      }
    }
    alignas(64) float floats[kMostTokens * panel_rows];
    panel_.Decode(panel, count, floats);
    MultiplyAllRows(weights, stride, FloatColumns{floats}, count, rows, add);
  }

  HWY_INLINE void Integers(const std::uint8_t* values, std::size_t place, std::size_t count,
                           std::size_t d, float* outputs) const {
    codes_.Multiply(
        Panel(values, d, place), 0, count, [&](std::size_t r) QOMPOSE_FLATTEN { return sums_[r]; },
        [&](std::size_t r, std::size_t part, VI sum) QOMPOSE_FLATTEN {
          float* at = Output(outputs, r, d) + part * N;
          const VF scaled = hn::Mul(hn::ConvertTo(DF(), sum), hn::Set(DF(), scales_[r]));
          hn::StoreU(hn::Add(hn::LoadU(DF(), at), scaled), DF(), at);
        });
  }

  /// Weights times the scales of a group of tokens, as floats or codes; sums of weights and
  /// offsets.
  HWY_INLINE void Weigh(const std::uint8_t* values, std::size_t g, std::size_t place,
                        std::size_t count, const float* weights, std::size_t stride,
                        std::size_t rows) {
    alignas(64) float scales[kMostTokens];
    alignas(64) float offsets[kMostTokens];
    Scales(values, g, place, count, scales, offsets);
    for (std::size_t r = 0; r < rows; ++r) {
      const float* w = weights + r * stride;
      float* out = weighed_ + (kInteger ? 0 : r * kMostTokens);
      VF most = hn::Zero(DF());
      VF offset = hn::Zero(DF());
      for (std::size_t t = 0; t < count; t += N) {
        const VF weight = hn::LoadU(DF(), w + t);
        if constexpr (Codes::has_offset) {
          offset = hn::MulAdd(weight, hn::Load(DF(), offsets + t), offset);
        }
        const VF weighed = hn::Mul(weight, hn::Load(DF(), scales + t));
        if constexpr (kInteger) most = hn::Max(most, hn::Abs(weighed));
        hn::StoreU(weighed, DF(), out + t);
      }
      if constexpr (Codes::has_offset) offsets_[r] = hn::GetLane(hn::SumOfLanes(DF(), offset));
      if constexpr (kInteger) {
        Round(out, hn::GetLane(hn::MaxOfLanes(DF(), most)), count, r);
      }
    }
    if constexpr (kInteger) {
      for (std::size_t r = rows; r < round_up(rows, 8); ++r) {
        sums_[r] = 0;
        scales_[r] = 0.0f;
      }
      codes_.Finish(rows, count);
    }
  }

  /// Codes of a row of weights.
  HWY_INLINE void Round(const float* x, float most, std::size_t count, std::size_t row) {
    std::int8_t* codes = codes_.Row(row);
    constexpr float kSteps = 127.0f;
    if (!(most > 0x1p-120f)) {
      std::memset(codes, 0, count);
      sums_[row] = 0;
      scales_[row] = 0.0f;
      return;
    }
    const float inverse = kSteps / most;
    scales_[row] = most / kSteps / CodeRows<Codes, kMostTokens, true>::kFactor;
    if constexpr (N > 1) {
      VI sum = hn::Zero(DI());
      const VF factor = hn::Set(DF(), inverse);
      for (std::size_t t = 0; t < count; t += 4 * N) {
        VI code[4];
        Unroll<4>([&](auto i) QOMPOSE_FLATTEN {
          // A stretch may end within four vectors; what is past it is multiplied by nothing.
          const VF v = t + i * N < count ? hn::LoadU(DF(), x + t + i * N) : hn::Zero(DF());
          code[i] = RoundToInt(hn::Mul(v, factor));
          sum = hn::Add(sum, code[i]);
        });
        StoreAsBytes(code[0], code[1], code[2], code[3], codes + t);
      }
      sums_[row] = hn::GetLane(hn::SumOfLanes(DI(), sum));
    } else {
      std::int32_t sum = 0;
      for (std::size_t t = 0; t < count; ++t) {
        codes[t] = static_cast<std::int8_t>(std::nearbyint(x[t] * inverse));
        sum += codes[t];
      }
      sums_[row] = sum;
    }
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
        outputs[r * kOutputStride + outlier.place] += weight[r * stride] * lacking;
      }
    }
  }

  HWY_INLINE void AddOffsets(std::size_t rows, std::size_t d, float* outputs) const {
    for (std::size_t r = 0; r < rows; ++r) {
      const VF offset = hn::Set(DF(), offsets_[r]);
      Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
        float* at = Output(outputs, r, d) + part * N;
        hn::StoreU(hn::Add(hn::LoadU(DF(), at), offset), DF(), at);
      });
    }
  }

  detail::value_block<Codes> block_;
  FloatPanel<Codes> panel_;
  StoredNumbers<typename Codes::scale_format> scale_;
  StoredNumbers<typename Codes::offset_format> offset_;
  struct Nothing {};
  std::conditional_t<kInteger, CodeRows<Codes, kMostTokens, true>, Nothing> codes_;
  float scales_[kInteger ? kRows : 1];
  std::int32_t sums_[kInteger ? kRows : 1];
  float offsets_[Codes::has_offset ? kRows : 1];
  alignas(64) float weighed_[Codes::is_scaled ? (kInteger ? 1 : kRows) * kMostTokens : 1];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
