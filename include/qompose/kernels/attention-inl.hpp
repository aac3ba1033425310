// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Attention over a cache, tile by tile, with an online softmax.

#if defined(QOMPOSE_KERNELS_ATTENTION_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ATTENTION_INL_HPP_
#undef QOMPOSE_KERNELS_ATTENTION_INL_HPP_
#else
#define QOMPOSE_KERNELS_ATTENTION_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "qompose/cache/side.hpp"
#include "qompose/kernels/attention_keys-inl.hpp"
#include "qompose/kernels/attention_values-inl.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/elementwise-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/softmax-inl.hpp"
#include "qompose/kernels/transforms-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Attention of a block of query rows, all of one KV head, over some of the tokens of a cache. Row
/// r is query r / group of query head `head * group + r % group`.
///
/// @tparam Keys, Values  a detail::cache_side each
template <class Keys, class Values>
class Attention {
  using Arguments = detail::attention_arguments;
  static constexpr bool kRotates = Keys::before_rope;
  /// Keys that are not rotated here meet queries that went through the same transform.
  using QueryTransform = std::conditional_t<kRotates, no_transform, typename Keys::transform>;
  template <class Spec, std::size_t kOutliers>
  using KeysOf =
      KeyPanels<detail::cache_codes<Spec, kOutliers>, typename Keys::transform, kRotates>;
  template <class Spec, std::size_t kOutliers>
  using ValuesOf = ValuePanels<detail::cache_codes<Spec, kOutliers>>;

  static constexpr std::size_t kRows = detail::attention_rows;
  static constexpr std::size_t kStride = max_head_dim;
  static constexpr std::size_t kTileTokens = 64;
  /// Weights of a tile may be read from up to a unit before its first token, and past its last one.
  static constexpr std::size_t kMargin = widest_panel_step;
  static constexpr std::size_t kScoreStride = kMargin + kTileTokens + kMargin;

 public:
  using KeyData = typename Keys::transform::data;
  using ValueData = typename Values::transform::data;

  /// Query rows [first_row, first_row + rows) of a KV head over tokens [begin, end).
  /// @param partial  where the parts of several runs are left for `Merge`, or null to write y
  /// @pre rows <= detail::attention_rows
  static void Run(const Arguments& a, const KeyData& key_data, const ValueData& value_data,
                  std::size_t head, std::size_t first_row, std::size_t rows, std::size_t begin,
                  std::size_t end, const detail::attention_partial* partial) {
    Attention work(a, key_data, head, first_row, rows);
    // The logit of a sink takes part once.
    if (begin == a.segments[0].begin) work.AddSinks();
    for (std::size_t i = 0; i < a.n_segments; ++i) {
      detail::cache_segment segment = a.segments[i];
      segment.begin = std::max(segment.begin, begin);
      segment.end = std::min(segment.end, end);
      if (segment.begin < segment.end) work.AddSegment(segment);
    }
    if (partial != nullptr) {
      work.Leave(*partial);
    } else {
      work.Finish(value_data);
    }
  }

  /// Makes y of the parts that runs over different tokens have left.
  /// @param first   the first of `n_parts`, which lie `stride` floats apart
  static void Merge(const Arguments& a, const ValueData& value_data, std::size_t head,
                    std::size_t rows, const detail::attention_partial& first, std::size_t stride,
                    std::size_t n_parts) {
    const std::size_t dim = round_up(a.head_dim, panel_rows);
    alignas(64) float sum[kStride];
    for (std::size_t r = 0; r < rows; ++r) {
      float peak = -std::numeric_limits<float>::infinity();
      for (std::size_t p = 0; p < n_parts; ++p) peak = std::max(peak, first.peaks[p * stride + r]);
      float total = 0.0f;
      std::memset(sum, 0, dim * sizeof(float));
      for (std::size_t p = 0; p < n_parts; ++p) {
        const float part_total = first.totals[p * stride + r];
        if (!(part_total > 0.0f)) continue;
        const float weight = std::exp(first.peaks[p * stride + r] - peak);
        total += weight * part_total;
        const float* from = first.outputs + p * stride + r * dim;
        const VF weights = hn::Set(DF(), weight);
        for (std::size_t d = 0; d < dim; d += N) {
          const VF more = hn::Mul(weights, hn::LoadU(DF(), from + d));
          hn::Store(hn::Add(hn::Load(DF(), sum + d), more), DF(), sum + d);
        }
      }
      StoreRow(a, value_data, head, r, sum, total);
    }
  }

 private:
  HWY_INLINE Attention(const Arguments& a, const KeyData& key_data, std::size_t head,
                       std::size_t first_row, std::size_t rows)
      : a_(a),
        dim_(round_up(a.head_dim, panel_rows)),
        head_(head),
        first_row_(first_row),
        rows_(rows),
        keys_(a.head_dim, a.key_entries, key_data),
        exact_keys_(a.head_dim, nullptr, key_data),
        values_(a.head_dim, a.value_entries),
        exact_values_(a.head_dim, nullptr) {
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t row = first_row + r;
      const float* q = a.q + row / a.group * a.q_stride + QueryHead(row) * a.head_dim;
      float* out = queries_ + r * kStride;
      if constexpr (QueryTransform::is_identity) {
        for (std::size_t d = 0; d < a.head_dim; ++d) out[d] = q[d] * a.scale;
      } else {
        ApplyTransform<QueryTransform>::Run(key_data, q, out, a.head_dim);
        for (std::size_t d = 0; d < a.head_dim; ++d) out[d] *= a.scale;
      }
      std::fill(out + a.head_dim, out + round_up(a.head_dim, widest_panel_step), 0.0f);
      std::memset(outputs_ + r * kStride, 0, dim_ * sizeof(float));
      std::memset(scores_ + r * kScoreStride, 0, kScoreStride * sizeof(float));
    }
    if constexpr (!kRotates) UseQueries(queries_);
  }

  [[nodiscard]] HWY_INLINE std::size_t QueryHead(std::size_t row) const {
    return head_ * a_.group + row % a_.group;
  }
  HWY_INLINE void UseQueries(const float* queries) {
    keys_.SetQueries(queries, rows_);
    if constexpr (Keys::has_exact) exact_keys_.SetQueries(queries, rows_);
  }
  /// use(panels) for those that the tokens of a segment lie in.
  template <class Use>
  HWY_INLINE void WithKeys(const detail::cache_segment& segment, Use&& use) {
    if constexpr (Keys::has_exact) {
      if (segment.keys_are_exact) return use(exact_keys_);
    }
    use(keys_);
  }
  template <class Use>
  HWY_INLINE void WithValues(const detail::cache_segment& segment, Use&& use) {
    if constexpr (Values::has_exact) {
      if (segment.values_are_exact) return use(exact_values_);
    }
    use(values_);
  }

  HWY_INLINE void AddSinks() {
    if (a_.sink_logits == nullptr) return;
    for (std::size_t r = 0; r < rows_; ++r) {
      softmax_[r].peak = a_.sink_logits[QueryHead(first_row_ + r)];
      softmax_[r].total = 1.0f;
    }
  }

  /// Position of a row's query.
  [[nodiscard]] HWY_INLINE std::size_t Position(std::size_t r) const {
    return a_.first + (first_row_ + r) / a_.group;
  }
  /// The tokens of a segment that a row sees.
  HWY_INLINE void Visible(const detail::cache_segment& segment, std::size_t r, std::size_t& begin,
                          std::size_t& end) const {
    const std::size_t after = Position(r) + 1;
    begin = segment.begin;
    end = a_.is_causal ? std::min(segment.end, after) : segment.end;
    if (a_.window > 0 && !AreSinks(segment) && after > a_.window)
      begin = std::max(begin, after - a_.window);
  }

  HWY_INLINE void AddSegment(const detail::cache_segment& segment) {
    WithKeys(segment,
             [&](auto& keys) QOMPOSE_FLATTEN { keys.SetBlockTokens(segment.keys->block_tokens); });
    WithValues(segment, [&](auto& values) QOMPOSE_FLATTEN {
      values.SetBlockTokens(segment.values->block_tokens);
    });
    if constexpr (kRotates) RotateQueries(segment);
    std::size_t first_seen, last_seen, unused;
    Visible(segment, 0, first_seen, unused);
    Visible(segment, rows_ - 1, unused, last_seen);
    const detail::cache_region& keys = *segment.keys;
    for (std::size_t t = first_seen; t < last_seen;) {
      // Tiles begin where panels do; tokens before the segment are seen by no row.
      const std::size_t start = t - keys.place(t) % panel_rows;
      const std::size_t stop = std::min(start + kTileTokens, last_seen);
      Scores(segment, start, stop);
      Weigh(segment, start, stop);
      AddValues(segment, t, start, stop);
      t = stop;
    }
  }
  /// Scores of tokens [start, stop), by panels.
  HWY_INLINE void Scores(const detail::cache_segment& segment, std::size_t start,
                         std::size_t stop) {
    const detail::cache_region& region = *segment.keys;
    WithKeys(segment, [&](auto& keys) QOMPOSE_FLATTEN {
      for (std::size_t t = start; t < stop; t += panel_rows) {
        const auto* block = reinterpret_cast<const std::uint8_t*>(region.block(head_, t));
        KeyRotation rotation;
        if constexpr (kRotates) rotation = RotationOf(segment, t);
        keys.Scores(block, region.place(t), rotation, scores_ + kMargin + (t - start),
                    kScoreStride);
      }
    });
  }

  [[nodiscard]] HWY_INLINE bool AreSinks(const detail::cache_segment& segment) const {
    return segment.end <= a_.sinks;
  }
  [[nodiscard]] HWY_INLINE KeyRotation RotationOf(const detail::cache_segment& segment,
                                                  std::size_t t) const {
    const std::size_t position = AreSinks(segment) ? t : t - a_.position_shift;
    return {a_.pair_cosines + position, a_.pair_sines + position, a_.pair_stride,
            a_.rotates_halves};
  }
  /// Queries as the keys of a segment want them.
  HWY_INLINE void RotateQueries(const detail::cache_segment& segment) {
    const std::size_t half = a_.head_dim / 2;
    for (std::size_t r = 0; r < rows_; ++r) {
      const std::size_t position = AreSinks(segment) ? std::min(Position(r), a_.last_position)
                                                     : Position(r) - a_.position_shift;
      float* out = rotated_ + r * kStride;
      std::memcpy(out, queries_ + r * kStride, kStride * sizeof(float));
      const float* cosines = a_.cosines + position * half;
      const float* sines = a_.sines + position * half;
      if (a_.rotates_halves) {
        Elementwise::RopeHalf(cosines, sines, out, a_.head_dim);
      } else {
        Elementwise::RopeInterleaved(cosines, sines, out, a_.head_dim);
      }
    }
    UseQueries(rotated_);
  }

  /// Scores to weights.
  HWY_INLINE void Weigh(const detail::cache_segment& segment, std::size_t start, std::size_t stop) {
    const std::size_t count = round_up(stop - start, panel_rows);
    for (std::size_t r = 0; r < rows_; ++r) {
      float* scores = scores_ + r * kScoreStride + kMargin;
      std::size_t begin, end;
      Visible(segment, r, begin, end);
      begin = std::max(begin, start);
      end = std::min(end, stop);
      const float shrink =
          WeighRow(a_, (first_row_ + r) / a_.group, softmax_[r], scores, start, count, begin, end);
      std::fill(scores + count, scores + kTileTokens, 0.0f);
      if (shrink != 1.0f) MultiplyRow(outputs_ + r * kStride, dim_, shrink);
    }
  }

  /// Weighted values of tokens [t, stop), block by block.
  HWY_INLINE void AddValues(const detail::cache_segment& segment, std::size_t t, std::size_t start,
                            std::size_t stop) {
    const detail::cache_region& region = *segment.values;
    WithValues(segment, [&](auto& values) QOMPOSE_FLATTEN {
      constexpr std::size_t kStep = std::remove_reference_t<decltype(values)>::kStep;
      while (t < stop) {
        const auto* block = reinterpret_cast<const std::uint8_t*>(region.block(head_, t));
        const std::size_t place = region.place(t);
        const std::size_t from = place / kStep * kStep;
        const std::size_t last = std::min(region.block_tokens, place + (stop - t));
        const std::size_t count = std::min(round_up(last - from, kStep), kTileTokens);
        // Weights before the first token are 0, being in the margin or of tokens that are not seen.
        values.Add(block + region.values_at, from, count,
                   scores_ + kMargin + (t - start) - (place - from), kScoreStride, rows_, outputs_);
        t += std::min(last, from + count) - place;
      }
    });
  }

  HWY_INLINE void Leave(const detail::attention_partial& partial) const {
    for (std::size_t r = 0; r < rows_; ++r) {
      std::memcpy(partial.outputs + r * dim_, outputs_ + r * kStride, dim_ * sizeof(float));
      partial.peaks[r] = softmax_[r].peak;
      partial.totals[r] = softmax_[r].total;
    }
  }
  HWY_INLINE void Finish(const ValueData& value_data) {
    for (std::size_t r = 0; r < rows_; ++r) {
      StoreRow(a_, value_data, head_, first_row_ + r, outputs_ + r * kStride, softmax_[r].total);
    }
  }
  /// A row of y; zeros where no token was seen.
  static HWY_INLINE void StoreRow(const Arguments& a, const ValueData& value_data, std::size_t head,
                                  std::size_t row, float* sum, float total) {
    const float inverse = total > 0.0f ? 1.0f / total : 0.0f;
    float* y = a.y + row / a.group * a.y_stride + (head * a.group + row % a.group) * a.head_dim;
    if constexpr (!Values::transform::is_identity) {
      Values::transform::unfold(value_data, sum, a.head_dim);
    }
    for (std::size_t d = 0; d < a.head_dim; ++d) y[d] = sum[d] * inverse;
  }

  Arguments a_;
  std::size_t dim_;
  std::size_t head_;
  std::size_t first_row_;
  std::size_t rows_;
  struct Nothing {
    template <class... Any>
    HWY_INLINE explicit Nothing(const Any&...) {}
  };
  KeysOf<typename Keys::spec, Keys::outliers> keys_;
  std::conditional_t<Keys::has_exact, KeysOf<typename Keys::exact, 0>, Nothing> exact_keys_;
  ValuesOf<typename Values::spec, Values::outliers> values_;
  std::conditional_t<Values::has_exact, ValuesOf<typename Values::exact, 0>, Nothing> exact_values_;
  OnlineSoftmax softmax_[kRows];
  alignas(64) float queries_[kRows * kStride];
  alignas(64) float rotated_[kRotates ? kRows * kStride : 1];
  alignas(64) float outputs_[kRows * kStride];
  alignas(64) float scores_[kRows * kScoreStride];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
