// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Scores: rows of queries meet the keys of a panel of sixteen tokens.

#if defined(QOMPOSE_KERNELS_ATTENTION_KEYS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ATTENTION_KEYS_INL_HPP_
#undef QOMPOSE_KERNELS_ATTENTION_KEYS_INL_HPP_
#else
#define QOMPOSE_KERNELS_ATTENTION_KEYS_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "qompose/formats/e8m0.hpp"
#include "qompose/kernels/attention_floats-inl.hpp"
#include "qompose/kernels/attention_integers-inl.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/decode-inl.hpp"
#include "qompose/kernels/prepare-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/packing/cache_block.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// N stored numbers of a format.
template <class Format>
struct StoredNumbers {
  HWY_INLINE StoredNumbers() {}
  HWY_INLINE VF operator()(const std::uint8_t* p, std::size_t i) const {
    using Code = typename Format::storage_type;
    if constexpr (std::is_same_v<Format, e8m0>) {
      return LoadFloats<e8m0>(p + i);
    } else {
      return decode_(reinterpret_cast<const Code*>(p) + i);
    }
  }

 private:
  using Decoder = DecodeVector<std::conditional_t<std::is_same_v<Format, e8m0>, fp32, Format>>;
  Decoder decode_;
};

/// Where keys that were cached before rotary embedding stand.
struct KeyRotation {
  const float* cosines = nullptr;  ///< [head_dim / 2][stride], at the position of the first token
  const float* sines = nullptr;
  std::size_t stride = 0;
  bool halves = true;
};

/// Rotary embedding of sixteen tokens side by side, [head_dim][16].
HWY_INLINE void RotatePanel(const KeyRotation& rotation, std::size_t head_dim, float* floats) {
  const std::size_t half = head_dim / 2;
  for (std::size_t i = 0; i < half; ++i) {
    float* a = floats + (rotation.halves ? i : 2 * i) * panel_rows;
    float* b = a + (rotation.halves ? half : 1) * panel_rows;
    for (std::size_t lane = 0; lane < panel_rows; lane += N) {
      const VF x = hn::LoadU(DF(), a + lane);
      const VF y = hn::LoadU(DF(), b + lane);
      const VF c = hn::LoadU(DF(), rotation.cosines + i * rotation.stride + lane);
      const VF s = hn::LoadU(DF(), rotation.sines + i * rotation.stride + lane);
      hn::StoreU(hn::NegMulAdd(y, s, hn::Mul(x, c)), DF(), a + lane);
      hn::StoreU(hn::MulAdd(x, s, hn::Mul(y, c)), DF(), b + lane);
    }
  }
}

/// Scales and offsets that stand in panels of keys, or of latents.
template <class Codes>
struct KeyScales {
  using Block = detail::key_block<Codes>;

  HWY_INLINE KeyScales() {}
  /// Of N tokens from `lane` on, for a group.
  HWY_INLINE VF Scale(const Block& block, const std::uint8_t* panel, std::size_t g,
                      std::size_t lane) const {
    VF value = scale(panel + block.scales_at(g), lane);
    if constexpr (Codes::has_outer) {
      const auto* outer = reinterpret_cast<const float*>(panel + block.outer_at());
      value = hn::Mul(value, hn::LoadU(DF(), outer + lane));
    }
    return value;
  }
  HWY_INLINE VF Offset(const Block& block, const std::uint8_t* panel, std::size_t g,
                       std::size_t lane) const {
    const VF value = offset(panel + block.offsets_at(g), lane);
    if constexpr (Codes::has_zero_point)
      return hn::Neg(hn::Mul(value, Scale(block, panel, g, lane)));
    return value;
  }
  /// Decoded codes of `columns` columns of a group to values, in place.
  HWY_INLINE void Apply(const Block& block, const std::uint8_t* panel, std::size_t g,
                        std::size_t columns, float* floats) const {
    const VF inverse = hn::Set(DF(), 1.0f / FloatPanel<Codes>::kFactor);
    for (std::size_t lane = 0; lane < panel_rows; lane += N) {
      const VF factor = hn::Mul(Scale(block, panel, g, lane), inverse);
      [[maybe_unused]] VF added = hn::Zero(DF());
      if constexpr (Codes::has_offset) added = Offset(block, panel, g, lane);
      for (std::size_t k = 0; k < columns; ++k) {
        float* at = floats + k * panel_rows + lane;
        VF value = hn::Mul(hn::Load(DF(), at), factor);
        if constexpr (Codes::has_offset) value = hn::Add(value, added);
        hn::Store(value, DF(), at);
      }
    }
  }

  StoredNumbers<typename Codes::scale_format> scale;
  StoredNumbers<typename Codes::offset_format> offset;
};

/// Scores of rows of queries, [rows][kQueryStride] floats that have been multiplied by all that
/// scores are multiplied by.
///
/// Integer codes of at most 8 bits meet queries rounded to int8, one scale a row; all others are
/// decoded to floats. Scales per channel go into the queries, once a block.
///
/// @tparam Transform  folded into keys
/// @tparam kRotates   whether keys are rotated here, and so unfolded
template <class Codes, class Transform, bool kRotates>
class KeyPanels {
  static constexpr bool kInteger = Codes::has_integers && !kRotates;
  static constexpr bool kFolds = Codes::is_per_channel && !kRotates;
  static constexpr std::size_t kRows = detail::attention_rows;
  static constexpr std::size_t kMostGroups =
      Codes::is_per_channel ? 1 : divide_up(max_head_dim, Codes::most_group_columns);

 public:
  static constexpr std::size_t kQueryStride = max_head_dim;

  HWY_INLINE KeyPanels(std::size_t head_dim, const float* entries,
                       const typename Transform::data& data)
      : block_({head_dim, panel_rows}), panel_(entries), data_(data) {}

  HWY_INLINE void SetBlockTokens(std::size_t tokens) { block_.tokens = tokens; }

  /// Takes the rows that the next panels meet.
  HWY_INLINE void SetQueries(const float* queries, std::size_t rows) {
    queries_ = queries;
    rows_ = rows;
    folded_for_ = nullptr;
    if constexpr (!kFolds) Take(queries);
  }

  /// scores[row][0 .. 16) of the panel of token `place` of a block.
  /// @param rotation  of the tokens of the panel; unused unless keys are rotated here
  HWY_INLINE void Scores(const std::uint8_t* keys, std::size_t place,
                         [[maybe_unused]] const KeyRotation& rotation, float* scores,
                         std::size_t stride) {
    if constexpr (kFolds) Fold(keys);
    const std::uint8_t* panel = keys + block_.panel_at(place);
    if constexpr (kRotates) {
      alignas(64) float floats[max_head_dim * panel_rows];
      panel_.Decode(panel + block_.codes_at(), block_.columns(), floats);
      Unscale(keys, panel, floats);
      ForEachOutlier(keys, place, [&](std::size_t at, float lacking) { floats[at] += lacking; });
      Unfold(floats);
      RotatePanel(rotation, block_.head_dim, floats);
      Multiply(FloatColumns{floats}, panel, scores, stride);
    } else {
      Products(panel, scores, stride);
      ForEachOutlier(keys, place, [&](std::size_t at, float lacking) {
        const float* q = queries_ + at / panel_rows;
        float* out = scores + at % panel_rows;
        for (std::size_t r = 0; r < rows_; ++r) out[r * stride] += q[r * kQueryStride] * lacking;
      });
    }
  }

 private:
  /// use(place, what is lacking) for the elements of a panel that are kept apart.
  template <class Use>
  HWY_INLINE void ForEachOutlier(const std::uint8_t* keys, std::size_t place, Use&& use) const {
    if constexpr (Codes::outliers > 0) {
      const std::size_t p = place / panel_rows;
      std::size_t first = p * panel_rows * Codes::outliers;
      std::size_t last = first + panel_rows * Codes::outliers;
      if constexpr (Codes::is_per_channel) {
        std::uint16_t starts[2];
        std::memcpy(starts, keys + block_.outlier_starts_at() + p * sizeof(starts[0]),
                    sizeof(starts));
        first = starts[0];
        last = starts[1];
      }
      for (std::size_t i = first; i < last; ++i) {
        detail::cache_outlier outlier;
        std::memcpy(&outlier, keys + block_.outliers_at() + i * sizeof(outlier), sizeof(outlier));
        use(outlier.place, fp16::decode(outlier.lacking));
      }
    }
  }

  /// Scores but for the elements that are kept apart.
  HWY_INLINE void Products(const std::uint8_t* panel, float* scores, std::size_t stride) {
    const std::uint8_t* codes = panel + block_.codes_at();
    if constexpr (kInteger) {
      Integers(panel, scores, stride);
    } else if constexpr (FloatPanel<Codes>::kInPlace) {
      Multiply(FloatColumns{reinterpret_cast<const float*>(codes)}, panel, scores, stride);
    } else {
      if constexpr (FloatPanel<Codes>::kPlain) {
        if (rows_ <= kFloatRows) {
          return Multiply(HalfColumns<typename Codes::element>{codes}, panel, scores, stride);
        }
      }
      alignas(64) float floats[max_head_dim * panel_rows];
      panel_.Decode(codes, block_.columns(), floats);
      Multiply(FloatColumns{floats}, panel, scores, stride);
    }
  }

  /// Scales and offsets of N tokens of a panel, for a group.
  HWY_INLINE VF Scale(const std::uint8_t* panel, std::size_t g, std::size_t part) const {
    return numbers_.Scale(block_, panel, g, part * N);
  }
  HWY_INLINE VF Offset(const std::uint8_t* panel, std::size_t g, std::size_t part) const {
    return numbers_.Offset(block_, panel, g, part * N);
  }
  [[nodiscard]] HWY_INLINE std::size_t GroupColumns() const {
    return block_.template group_cols<Codes>();
  }

  /// Columns of a group; those of padding belong to the last one.
  [[nodiscard]] HWY_INLINE std::size_t ColumnsFrom(std::size_t first, bool is_last) const {
    return is_last ? block_.columns() - first : GroupColumns();
  }

  /// Rows of floats, or of codes, of which sums are taken where offsets want them.
  HWY_INLINE void Take(const float* rows) {
    const std::size_t dim = block_.head_dim;
    const std::size_t columns = block_.columns();
    if constexpr (kInteger) {
      for (std::size_t r = 0; r < rows_; ++r) {
        std::int8_t* codes = codes_.Row(r);
        scales_[r] = QuantizeRow<int8>::Run(rows + r * kQueryStride, dim, codes) /
                     CodeRows<Codes, max_head_dim, false>::kFactor;
        std::memset(codes + dim, 0, columns - dim);
        CodeSums::Groups(codes, dim, GroupColumns(),
                         [&](std::size_t g, std::int32_t sum) QOMPOSE_FLATTEN {
                           sums_[kMostGroups == 1 ? r : g * kRows + r] = sum;
                         });
      }
      for (std::size_t r = rows_; r < round_up(rows_, 8); ++r) {
        scales_[r] = 0.0f;
        for (std::size_t g = 0; g < kMostGroups; ++g) sums_[g * kRows + r] = 0;
      }
      codes_.Finish(rows_, columns);
    } else if constexpr (Codes::has_offset && !kFolds && !kRotates) {
      for (std::size_t r = 0; r < rows_; ++r) {
        for (std::size_t g = 0; g * GroupColumns() < dim; ++g) {
          const std::size_t first = g * GroupColumns();
          float sum = 0.0f;
          for (std::size_t d = first; d < std::min(first + GroupColumns(), dim); ++d) {
            sum += rows[r * kQueryStride + d];
          }
          float_sums_[g * kRows + r] = sum;
        }
      }
    }
  }

  /// Queries times the scales of a block's channels; what its offsets add to every score.
  HWY_INLINE void Fold(const std::uint8_t* keys) {
    if (folded_for_ == keys) return;
    folded_for_ = keys;
    alignas(64) float scales[max_head_dim];
    alignas(64) float offsets[max_head_dim];
    ChannelScales(keys, scales, offsets);
    for (std::size_t r = 0; r < rows_; ++r) {
      const float* q = queries_ + r * kQueryStride;
      float* out = folded_ + r * kQueryStride;
      VF sum = hn::Zero(DF());
      for (std::size_t d = 0; d < block_.padded_dim(); d += N) {
        const VF x = hn::LoadU(DF(), q + d);
        if constexpr (Codes::has_offset) {
          sum = hn::MulAdd(x, hn::Load(DF(), offsets + d), sum);
        }
        hn::StoreU(hn::Mul(x, hn::Load(DF(), scales + d)), DF(), out + d);
      }
      std::fill(out + block_.padded_dim(), out + std::max(block_.columns(), block_.padded_dim()),
                0.0f);
      if constexpr (Codes::has_offset) {
        float_sums_[r] = hn::GetLane(hn::SumOfLanes(DF(), sum));
      }
    }
    Take(folded_);
  }
  HWY_INLINE void ChannelScales(const std::uint8_t* keys, float* scales, float* offsets) const {
    for (std::size_t d = 0; d < block_.padded_dim(); d += N) {
      const VF scale = numbers_.scale(keys + block_.scales_at(), d);
      hn::Store(scale, DF(), scales + d);
      if constexpr (Codes::has_offset) {
        VF offset = numbers_.offset(keys + block_.offsets_at(), d);
        if constexpr (Codes::has_zero_point) offset = hn::Neg(hn::Mul(offset, scale));
        hn::Store(offset, DF(), offsets + d);
      }
    }
  }

  /// Scores by integer products, group by group.
  HWY_INLINE void Integers(const std::uint8_t* panel, float* scores, std::size_t stride) {
    const std::size_t n_groups = kFolds ? 1 : block_.template groups<Codes>();
    for (std::size_t g = 0; g < n_groups; ++g) {
      const std::size_t first = g * GroupColumns();
      VF scale[kParts];
      VF offset[kParts];
      if constexpr (!kFolds && Codes::is_scaled) {
        Each<kParts>([&](auto part) QOMPOSE_FLATTEN { scale[part] = Scale(panel, g, part); });
      }
      if constexpr (!kFolds && Codes::has_offset) {
        Each<kParts>([&](auto part) QOMPOSE_FLATTEN { offset[part] = Offset(panel, g, part); });
      }
      const std::int32_t* sums = sums_ + (kMostGroups == 1 ? 0 : g * kRows);
      const auto sum_of = [&](std::size_t r) QOMPOSE_FLATTEN { return sums[r]; };
      codes_.Multiply(panel + block_.codes_at() + first * Codes::column_bytes, first,
                      ColumnsFrom(first, g + 1 == n_groups), sum_of,
                      [&](std::size_t r, std::size_t part, VI sum) QOMPOSE_FLATTEN {
                        const VF row_scale = hn::Set(DF(), scales_[r]);
                        VF value = hn::Mul(hn::ConvertTo(DF(), sum), row_scale);
                        if constexpr (!kFolds && Codes::is_scaled) {
                          value = hn::Mul(value, scale[part]);
                        }
                        if constexpr (!kFolds && Codes::has_offset) {
                          const float whole = static_cast<float>(sums[r]) * scales_[r] *
                                              CodeRows<Codes, max_head_dim, false>::kFactor;
                          value = hn::MulAdd(hn::Set(DF(), whole), offset[part], value);
                        }
                        if constexpr (kFolds && Codes::has_offset) {
                          value = hn::Add(value, hn::Set(DF(), float_sums_[r]));
                        }
                        float* at = scores + r * stride + part * N;
                        if (g > 0) value = hn::Add(value, hn::LoadU(DF(), at));
                        hn::StoreU(value, DF(), at);
                      });
    }
  }

  /// Scores by float products, group by group.
  template <class Columns>
  HWY_INLINE void Multiply(const Columns& load, const std::uint8_t* panel, float* scores,
                           std::size_t stride) const {
    const float* rows = kFolds ? folded_ : queries_;
    constexpr bool kScales = Codes::is_scaled && !kFolds && !kRotates;
    const std::size_t n_groups = kScales ? block_.template groups<Codes>() : 1;
    constexpr float kInverse = 1.0f / FloatPanel<Codes>::kFactor;
    for (std::size_t g = 0; g < n_groups; ++g) {
      const std::size_t first = g * GroupColumns();
      VF scale[kParts];
      VF offset[kParts];
      if constexpr (kScales) {
        Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
          scale[part] = hn::Mul(Scale(panel, g, part), hn::Set(DF(), kInverse));
          if constexpr (Codes::has_offset) offset[part] = Offset(panel, g, part);
        });
      }
      const float* sums = float_sums_ + (kFolds ? 0 : g * kRows);
      const auto shifted = [&](std::size_t k, std::size_t part)
                               QOMPOSE_FLATTEN { return load(first + k, part); };
      MultiplyAllRows(rows + first, kQueryStride, shifted, ColumnsFrom(first, g + 1 == n_groups),
                      rows_, [&](std::size_t r, std::size_t part, VF sum) QOMPOSE_FLATTEN {
                        if constexpr (kScales) {
                          sum = hn::Mul(sum, scale[part]);
                        } else if constexpr (kInverse != 1.0f && !kRotates) {
                          sum = hn::Mul(sum, hn::Set(DF(), kInverse));
                        }
                        if constexpr (kScales && Codes::has_offset) {
                          sum = hn::MulAdd(hn::Set(DF(), sums[r]), offset[part], sum);
                        }
                        if constexpr (kFolds && Codes::has_offset) {
                          sum = hn::Add(sum, hn::Set(DF(), sums[r]));
                        }
                        float* at = scores + r * stride + part * N;
                        if (g > 0) sum = hn::Add(sum, hn::LoadU(DF(), at));
                        hn::StoreU(sum, DF(), at);
                      });
    }
  }

  /// Decoded codes to values, in place.
  HWY_INLINE void Unscale(const std::uint8_t* keys, const std::uint8_t* panel,
                          float* floats) const {
    if constexpr (!Codes::is_scaled) return;
    const std::size_t dim = block_.head_dim;
    if constexpr (Codes::is_per_channel) {
      const VF inverse = hn::Set(DF(), 1.0f / FloatPanel<Codes>::kFactor);
      alignas(64) float scales[max_head_dim];
      alignas(64) float offsets[max_head_dim];
      ChannelScales(keys, scales, offsets);
      for (std::size_t d = 0; d < dim; ++d) {
        const VF scale = hn::Mul(hn::Set(DF(), scales[d]), inverse);
        for (std::size_t i = 0; i < panel_rows; i += N) {
          float* at = floats + d * panel_rows + i;
          VF value = hn::Mul(hn::Load(DF(), at), scale);
          if constexpr (Codes::has_offset) value = hn::Add(value, hn::Set(DF(), offsets[d]));
          hn::Store(value, DF(), at);
        }
      }
    } else {
      const std::size_t group = GroupColumns();
      for (std::size_t g = 0; g * group < dim; ++g) {
        const std::size_t first = g * group;
        numbers_.Apply(block_, panel, g, std::min(group, dim - first), floats + first * panel_rows);
      }
    }
  }

  /// Undoes the transform of sixteen tokens side by side.
  HWY_INLINE void Unfold(float* floats) const {
    if constexpr (!Transform::is_identity) {
      const std::size_t dim = block_.head_dim;
      float token[max_head_dim];
      for (std::size_t lane = 0; lane < panel_rows; ++lane) {
        for (std::size_t d = 0; d < dim; ++d) token[d] = floats[d * panel_rows + lane];
        Transform::unfold(data_, token, dim);
        for (std::size_t d = 0; d < dim; ++d) floats[d * panel_rows + lane] = token[d];
      }
    }
  }

  detail::key_block<Codes> block_;
  FloatPanel<Codes> panel_;
  const typename Transform::data& data_;
  KeyScales<Codes> numbers_;
  const float* queries_ = nullptr;
  std::size_t rows_ = 0;
  const std::uint8_t* folded_for_ = nullptr;
  struct Nothing {
    HWY_INLINE float* operator+(std::size_t) const { return nullptr; }
  };
  std::conditional_t<kInteger, CodeRows<Codes, max_head_dim, false>, Nothing> codes_;
  float scales_[kInteger ? kRows : 1];
  std::int32_t sums_[kInteger ? kRows * kMostGroups : 1];
  float float_sums_[Codes::has_offset ? kRows * kMostGroups : 1];
  alignas(64) float folded_[kFolds ? kRows * kQueryStride : 1];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
