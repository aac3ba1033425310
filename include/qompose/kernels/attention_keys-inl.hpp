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
#include "qompose/kernels/transforms-inl.hpp"
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
  const float* cosines = nullptr;  ///< [positions][head_dim / 2], from that of the first token on
  const float* sines = nullptr;
  const float* lane_cosines = nullptr;  ///< [head_dim / 2][16], of positions 0 to 15
  const float* lane_sines = nullptr;
  bool halves = true;
};

/// Rotary embedding of sixteen tokens side by side, [head_dim][16]. Their angles are sums of that
/// of the first one and those of 16 positions, which stay in the first cache: tables of all
/// positions for vectors of tokens would be many times as large as the keys.
HWY_INLINE void RotatePanel(const KeyRotation& rotation, std::size_t head_dim, float* floats) {
  const std::size_t half = head_dim / 2;
  for (std::size_t i = 0; i < half; ++i) {
    float* a = floats + (rotation.halves ? i : 2 * i) * panel_rows;
    float* b = a + (rotation.halves ? half : 1) * panel_rows;
    const VF first_c = hn::Set(DF(), rotation.cosines[i]);
    const VF first_s = hn::Set(DF(), rotation.sines[i]);
    for (std::size_t lane = 0; lane < panel_rows; lane += N) {
      const VF x = hn::LoadU(DF(), a + lane);
      const VF y = hn::LoadU(DF(), b + lane);
      const VF lane_c = hn::LoadU(DF(), rotation.lane_cosines + i * panel_rows + lane);
      const VF lane_s = hn::LoadU(DF(), rotation.lane_sines + i * panel_rows + lane);
      const VF c = hn::NegMulAdd(first_s, lane_s, hn::Mul(first_c, lane_c));
      const VF s = hn::MulAdd(first_c, lane_s, hn::Mul(first_s, lane_c));
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

/// Rows of queries and outputs lie so far apart that rows of a column share no set of a cache.
constexpr std::size_t kRowStride = max_head_dim + panel_rows;

/// A panel of keys: a block, and the place of the panel's first token there.
struct KeyPanel {
  const std::uint8_t* block = nullptr;
  std::size_t place = 0;
};

/// out[row][16 p .. 16 p + 16) += numbers[row] * lanes[16 p .. 16 p + 16)
struct AddOuterProduct {
  static HWY_NOINLINE void Run(const float* numbers, std::size_t rows, const float* lanes,
                               std::size_t n_lanes, float* out, std::size_t stride) {
    for (std::size_t r = 0; r < rows; ++r) {
      const VF number = hn::Set(DF(), numbers[r]);
      for (std::size_t i = 0; i < n_lanes; i += N) {
        float* at = out + r * stride + i;
        const VF lane = hn::LoadU(DF(), lanes + i);
        hn::StoreU(hn::MulAdd(number, lane, hn::LoadU(DF(), at)), DF(), at);
      }
    }
  }
};

/// Scores of rows of queries, [rows][kRowStride] floats that have been multiplied by all that
/// scores are multiplied by.
///
/// Integer codes of at most 8 bits meet queries rounded to int8, one scale a row; all others are
/// decoded to floats. Scales per channel go into the queries, once a block.
///
/// @tparam Transform  folded into keys
/// @tparam kRotates   whether keys are rotated here, and so unfolded
template <class Codes, class Transform, bool kRotates>
class KeyPanels {
  using Panels = FloatPanel<Codes>;
  static constexpr bool kInteger = Codes::has_integers && !kRotates;
  static constexpr bool kFolds = Codes::is_per_channel && !kRotates;
  /// Whether sums are multiplied by scales, and added to, group by group.
  static constexpr bool kScales = Codes::is_scaled && !kFolds && !kRotates;
  static constexpr bool kAddsOffsets = Codes::has_offset && !kRotates;
  static constexpr std::size_t kRows = detail::attention_rows;
  static constexpr std::size_t kMostGroups =
      Codes::is_per_channel ? 1 : divide_up(max_head_dim, Codes::most_group_columns);

 public:
  /// Panels that rows meet at a time.
  static constexpr std::size_t kMostPanels = 4;

  HWY_INLINE KeyPanels(std::size_t head_dim, const float* entries,
                       const typename Transform::data& data)
      : block_({head_dim, panel_rows}), panel_(entries), data_(data) {}

  HWY_INLINE void SetBlockTokens(std::size_t tokens) { block_.tokens = tokens; }
  /// Where `n` panels of a block lie, or as many as there are.
  [[nodiscard]] HWY_INLINE NextLines Lines(const KeyPanel& first, std::size_t n) const {
    const std::size_t begin = first.place == 0 ? 0 : block_.panel_at(first.place);
    const std::size_t last = std::min(first.place + n * panel_rows, block_.tokens);
    return {first.block + begin, 1, 0, block_.panel_at(last) - begin};
  }

  /// Takes the rows that the next panels meet.
  HWY_INLINE void SetQueries(const float* queries, std::size_t rows) {
    queries_ = {queries, kRowStride, rows};
    folded_for_ = nullptr;
    if constexpr (!kFolds) {
      alignas(64) float ones[max_head_dim];
      std::fill_n(ones, max_head_dim, 1.0f);
      Take(ones, ones);
    }
  }

  /// scores[row][16 p .. 16 p + 16) of panel p.
  /// @param panels    [n_panels], at most kMostPanels
  /// @param rotation  of the tokens of the panels; unused unless keys are rotated here
  /// @param next      read after the keys
  HWY_NOINLINE void Scores(const KeyPanel* panels, std::size_t n_panels,
                           const KeyRotation& rotation, const NextLines& next, float* scores,
                           std::size_t stride) {
    next_ = next;
    next_.Divide(n_panels * NumberOfGroups());
    const std::size_t most = kInteger || InPlace() ? kMostPanels : kDecodedPanels;
    for (std::size_t p = 0; p < n_panels;) {
      // Panels of a block lie side by side.
      std::size_t n = 1;
      while (p + n < n_panels && n < most && panels[p + n].block == panels[p].block) ++n;
      BlockScores(panels[p], n, rotation, p * panel_rows, scores + p * panel_rows, stride);
      p += n;
    }
  }

 private:
  HWY_INLINE void BlockScores(const KeyPanel& first, std::size_t n,
                              [[maybe_unused]] const KeyRotation& rotation,
                              [[maybe_unused]] std::size_t token, float* scores,
                              std::size_t stride) {
    if constexpr (kFolds) Fold(first.block);
    const std::uint8_t* panels = first.block + block_.panel_at(first.place);
    const std::size_t columns = block_.columns();
    if constexpr (kInteger) {
      const auto multiply = [&](std::size_t g, std::size_t from, std::size_t count,
                                const PanelSums& sums) QOMPOSE_FLATTEN {
        const std::uint8_t* codes = panels + block_.codes_at() + from * Codes::column_bytes;
        codes_.Multiply(g, from, codes, block_.panel_bytes(), n, count, sums, next_);
      };
      Groups(panels, n, 1.0f, multiply, scores, stride);
    } else if (InPlace()) {
      const auto multiply = [&](std::size_t, std::size_t from, std::size_t count,
                                const PanelSums& sums) QOMPOSE_FLATTEN {
        using Format = std::conditional_t<Panels::kPlain, typename Codes::element, fp32>;
        const float* rows = Rows().at + from;
        const std::uint8_t* codes = panels + block_.codes_at() + from * Codes::column_bytes;
        FloatProducts<Format>::Run({rows, kRowStride, queries_.count}, codes, block_.panel_bytes(),
                                   n, count, sums, next_);
      };
      Groups(panels, n, 1.0f, multiply, scores, stride);
    } else {
      alignas(64) float floats[kDecodedPanels * max_head_dim * panel_rows];
      const std::size_t apart = columns * panel_rows;
      for (std::size_t p = 0; p < n; ++p) {
        const std::uint8_t* panel = panels + p * block_.panel_bytes();
        panel_.Decode(panel + block_.codes_at(), columns, floats + p * apart);
        if constexpr (kRotates) {
          float* at = floats + p * apart;
          Unscale(first.block, panel, at);
          ForEachOutlier(first.block, first.place + p * panel_rows,
                         [&](std::size_t element, float lacking) { at[element] += lacking; });
          Unfold(at);
          KeyRotation moved = rotation;
          const std::size_t further = (token + p * panel_rows) * (block_.head_dim / 2);
          moved.cosines += further;
          moved.sines += further;
          RotatePanel(moved, block_.head_dim, at);
        }
      }
      const auto multiply = [&](std::size_t, std::size_t from, std::size_t count,
                                const PanelSums& sums) QOMPOSE_FLATTEN {
        FloatProducts<fp32>::Run({Rows().at + from, kRowStride, queries_.count},
                                 floats + from * panel_rows, apart * sizeof(float), n, count, sums,
                                 next_);
      };
      Groups(panels, n, kRotates ? 1.0f : 1.0f / Panels::kFactor, multiply, scores, stride);
    }
    if constexpr (Codes::outliers > 0 && !kRotates) {
      for (std::size_t p = 0; p < n; ++p) {
        ForEachOutlier(first.block, first.place + p * panel_rows,
                       [&](std::size_t at, float lacking) {
                         const float* q = queries_.at + at / panel_rows;
                         float* out = scores + p * panel_rows + at % panel_rows;
                         for (std::size_t r = 0; r < queries_.count; ++r) {
                           out[r * stride] += q[r * kRowStride] * lacking;
                         }
                       });
      }
    }
  }

  [[nodiscard]] HWY_INLINE std::size_t NumberOfGroups() const {
    return kScales ? block_.template groups<Codes>() : 1;
  }
  /// Whether products read panels as they lie in memory.
  [[nodiscard]] HWY_INLINE bool InPlace() const {
    if constexpr (kRotates || !Panels::kPlain) return false;
    return Panels::kInPlace || queries_.count <= FloatProducts<fp32>::kFew;
  }
  /// What panels meet.
  [[nodiscard]] HWY_INLINE FloatRows Rows() const {
    return {kFolds ? folded_ : queries_.at, kRowStride, queries_.count};
  }

  /// Sums of n panels, group by group, times `factor`.
  /// @param multiply  (group, first column, columns, where sums go)
  template <class Multiply>
  HWY_INLINE void Groups(const std::uint8_t* panels, std::size_t n, float factor,
                         Multiply&& multiply, float* scores, std::size_t stride) {
    const std::size_t n_groups = NumberOfGroups();
    for (std::size_t g = 0; g < n_groups; ++g) {
      const std::size_t first = g * GroupColumns();
      // Columns of padding belong to the last group.
      const std::size_t count = g + 1 == n_groups ? block_.columns() - first : GroupColumns();
      alignas(64) float factors[kMostPanels * panel_rows];
      alignas(64) float offsets[kMostPanels * panel_rows];
      for (std::size_t i = 0; i < n * panel_rows; i += N) {
        [[maybe_unused]] const std::uint8_t* panel = panels + i / panel_rows * block_.panel_bytes();
        VF scale = hn::Set(DF(), factor);
        if constexpr (kScales) {
          scale = hn::Mul(numbers_.Scale(block_, panel, g, i % panel_rows), scale);
          if constexpr (kAddsOffsets) {
            hn::Store(numbers_.Offset(block_, panel, g, i % panel_rows), DF(), offsets + i);
          }
        } else if constexpr (kAddsOffsets) {
          hn::Store(hn::Set(DF(), 1.0f), DF(), offsets + i);
        }
        hn::Store(scale, DF(), factors + i);
      }
      const bool has_factors = kScales || factor != 1.0f;
      multiply(g, first, count, PanelSums{scores, stride, has_factors ? factors : nullptr, g > 0});
      if constexpr (kAddsOffsets) {
        AddOuterProduct::Run(row_sums_ + g * kRows, queries_.count, offsets, n * panel_rows, scores,
                             stride);
      }
    }
  }

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

  [[nodiscard]] HWY_INLINE std::size_t GroupColumns() const {
    return block_.template group_cols<Codes>();
  }

  /// Rows times scales of channels: floats, or codes; and what offsets are multiplied by.
  HWY_INLINE void Take([[maybe_unused]] const float* scales,
                       [[maybe_unused]] const float* offsets) {
    if constexpr (kInteger) {
      codes_.Take(queries_, scales, block_.columns(), GroupColumns());
    } else if constexpr (kFolds) {
      const std::size_t columns = round_up(block_.columns(), panel_rows);
      for (std::size_t r = 0; r < queries_.count; ++r) {
        for (std::size_t k = 0; k < columns; k += N) {
          const VF x = hn::LoadU(DF(), queries_.at + r * kRowStride + k);
          hn::Store(hn::Mul(x, hn::Load(DF(), scales + k)), DF(), folded_ + r * kRowStride + k);
        }
      }
    }
    if constexpr (kAddsOffsets) {
      const std::size_t dim = block_.head_dim;
      for (std::size_t r = 0; r < queries_.count; ++r) {
        const float* q = queries_.at + r * kRowStride;
        for (std::size_t g = 0; g < kMostGroups && g * GroupColumns() < dim; ++g) {
          const std::size_t first = g * GroupColumns();
          const std::size_t last = kMostGroups == 1 ? dim : std::min(first + GroupColumns(), dim);
          // What codes stand for, where queries are codes, so that rounding them errs no offset.
          if constexpr (kInteger && !kFolds) {
            row_sums_[g * kRows + r] = codes_.Sum(g, r);
          } else {
            float sum = 0.0f;
            for (std::size_t d = first; d < last; ++d) sum += q[d] * offsets[d];
            row_sums_[g * kRows + r] = sum;
          }
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
    Take(scales, offsets);
  }
  HWY_INLINE void ChannelScales(const std::uint8_t* keys, float* scales, float* offsets) const {
    const std::size_t padded = block_.padded_dim();
    for (std::size_t d = 0; d < padded; d += N) {
      const VF scale = numbers_.scale(keys + block_.scales_at(), d);
      hn::Store(scale, DF(), scales + d);
      if constexpr (Codes::has_offset) {
        VF offset = numbers_.offset(keys + block_.offsets_at(), d);
        if constexpr (Codes::has_zero_point) offset = hn::Neg(hn::Mul(offset, scale));
        hn::Store(offset, DF(), offsets + d);
      }
    }
    const std::size_t last = round_up(block_.columns(), panel_rows);
    if (padded < last) std::fill(scales + padded, scales + last, 0.0f);
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
      UnfoldColumns<Transform>::Run(data_, floats, block_.head_dim);
    }
  }

  detail::key_block<Codes> block_;
  Panels panel_;
  const typename Transform::data& data_;
  KeyScales<Codes> numbers_;
  FloatRows queries_;
  const std::uint8_t* folded_for_ = nullptr;
  NextLines next_;
  struct Nothing {};
  std::conditional_t<kInteger, CodeRows<Codes, max_head_dim, kMostGroups, false>, Nothing> codes_;
  float row_sums_[kAddsOffsets ? kRows * kMostGroups : 1];
  alignas(64) float folded_[kFolds && !kInteger ? kRows * kRowStride : 1];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
