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
#include <type_traits>

#include "qompose/cache/side.hpp"
#include "qompose/kernels/attention_keys-inl.hpp"
#include "qompose/kernels/attention_rows-inl.hpp"
#include "qompose/kernels/attention_values-inl.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/transforms-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Attention of a block of query rows over some of the tokens of a cache.
///
/// @tparam Keys, Values  a detail::cache_side each
template <class Keys, class Values>
class Attention : AttentionRows {
  static constexpr bool kRotates = Keys::before_rope;
  /// Keys that are not rotated here meet queries that went through the same transform.
  using QueryTransform = std::conditional_t<kRotates, no_transform, typename Keys::transform>;
  template <class Spec, std::size_t kOutliers>
  using KeysOf =
      KeyPanels<detail::cache_codes<Spec, kOutliers>, typename Keys::transform, kRotates>;
  template <class Spec, std::size_t kOutliers>
  using ValuesOf = ValuePanels<detail::cache_codes<Spec, kOutliers>>;

  using KeyData = typename Keys::transform::data;
  using ValueData = typename Values::transform::data;

 public:
  /// Query rows [first_row, first_row + rows) of a KV head over tokens [begin, end).
  /// @param partial  where the parts of several runs are left for `Merge`, or null to write y
  /// @pre rows <= detail::attention_rows
  static void Run(const Arguments& a, std::size_t head, std::size_t first_row, std::size_t rows,
                  std::size_t begin, std::size_t end, const detail::attention_partial* partial) {
    Attention work(a, *static_cast<const KeyData*>(a.key_data), head, first_row, rows);
    // The logit of a sink takes part once.
    if (begin == a.segments[0].begin) work.AddSinks();
    for (std::size_t i = 0; i < a.n_segments; ++i) {
      Segment segment = a.segments[i];
      segment.begin = std::max(segment.begin, begin);
      segment.end = std::min(segment.end, end);
      if (segment.begin < segment.end) work.AddSegment(segment);
    }
    if (partial != nullptr) {
      work.Leave(*partial);
    } else {
      work.Finish();
    }
  }

  /// Makes y of the parts that runs over different tokens have left.
  /// @param first   the first of `n_parts`, which lie `stride` floats apart
  static void Merge(const Arguments& a, std::size_t head, std::size_t rows,
                    const detail::attention_partial& first, std::size_t stride,
                    std::size_t n_parts) {
    alignas(64) float sum[kRowStride];
    for (std::size_t r = 0; r < rows; ++r) {
      const std::size_t dim = round_up(a.head_dim, panel_rows);
      const float total = Join(first, stride, n_parts, r, dim, sum);
      StoreRow(a, head, r, sum, total);
    }
  }

 private:
  HWY_INLINE Attention(const Arguments& a, const KeyData& key_data, std::size_t head,
                       std::size_t first_row, std::size_t rows)
      : AttentionRows(a, head, first_row, rows),
        keys_(a.head_dim, a.key_entries, key_data),
        exact_keys_(a.head_dim, nullptr, key_data),
        values_(a.head_dim, a.value_entries),
        exact_values_(a.head_dim, nullptr) {
    if constexpr (!QueryTransform::is_identity) {
      for (std::size_t r = 0; r < rows; ++r) {
        float* out = queries_ + r * kRowStride;
        ApplyTransform<QueryTransform>::Run(key_data, Query(r), out, a.head_dim);
        for (std::size_t d = 0; d < a.head_dim; ++d) out[d] *= a.scale;
      }
    }
    if constexpr (!kRotates) UseQueries(queries_);
  }

  HWY_INLINE void UseQueries(const float* queries) {
    keys_.SetQueries(queries, rows_);
    if constexpr (Keys::has_exact) exact_keys_.SetQueries(queries, rows_);
  }

  /// use(panels) for those that the tokens of a segment lie in.
  template <class Use>
  HWY_INLINE void WithKeys(const Segment& segment, Use&& use) {
    if constexpr (Keys::has_exact) {
      if (segment.keys_are_exact) return use(exact_keys_);
    }
    use(keys_);
  }
  template <class Use>
  HWY_INLINE void WithValues(const Segment& segment, Use&& use) {
    if constexpr (Values::has_exact) {
      if (segment.values_are_exact) return use(exact_values_);
    }
    use(values_);
  }
  [[nodiscard]] HWY_INLINE const std::uint8_t* BlockOf(const detail::cache_region& region,
                                                       std::size_t t) const {
    return reinterpret_cast<const std::uint8_t*>(region.block(head_, t));
  }
  [[nodiscard]] HWY_INLINE KeyPanel PanelOf(const detail::cache_region& region,
                                            std::size_t t) const {
    return {BlockOf(region, t), region.place(t)};
  }

  HWY_INLINE void AddSegment(const Segment& segment) {
    if constexpr (kRotates) {
      RotateQueries(segment, rotated_);
      UseQueries(rotated_);
    }
    std::size_t first_seen, last_seen, unused;
    Visible(segment, 0, first_seen, unused);
    Visible(segment, rows_ - 1, unused, last_seen);
    const detail::cache_region& keys = *segment.keys;
    const detail::cache_region& values = *segment.values;
    WithKeys(segment,
             [&](auto& panels) QOMPOSE_FLATTEN { panels.SetBlockTokens(keys.block_tokens); });
    WithValues(segment,
               [&](auto& panels) QOMPOSE_FLATTEN { panels.SetBlockTokens(values.block_tokens); });
    // While keys or values are read, memory is asked for what comes next: the other of them, which
    // lies beside it in a block of one tile; in longer blocks the next tile of the same.
    const bool alternates = values.block_tokens <= kTileTokens;
    for (std::size_t t = first_seen; t < last_seen;) {
      // Tiles begin where panels do, after the first one at whole tiles of a block, as a tile in
      // two blocks is read in pieces; tokens before the segment are seen by no row.
      const std::size_t place = keys.place(t);
      const std::size_t start = t - place % panel_rows;
      const std::size_t stop = std::min(t - place % kTileTokens + kTileTokens, last_seen);
      NextLines next_keys;
      NextLines next_values;
      if (stop < last_seen) {
        WithKeys(segment, [&](auto& panels) QOMPOSE_FLATTEN {
          next_keys = panels.Lines(PanelOf(keys, stop), kTileTokens / panel_rows);
        });
      }
      if (alternates || stop < last_seen) {
        const std::size_t next = alternates ? t : stop;
        WithValues(segment, [&](auto& panels) QOMPOSE_FLATTEN {
          next_values = panels.Lines(BlockOf(values, next) + values.values_at, values.place(next),
                                     kTileTokens);
        });
      }
      WithKeys(segment, [&](auto& panels) QOMPOSE_FLATTEN {
        ScoresOf(panels, segment, start, stop, alternates ? next_values : next_keys);
      });
      Weigh(segment, start, stop);
      WithValues(segment, [&](auto& panels) QOMPOSE_FLATTEN {
        AddValues(panels, segment, t, start, stop, alternates ? next_keys : next_values);
      });
      t = stop;
    }
  }

  /// Scores of tokens [start, stop), by panels.
  template <class Panels>
  HWY_INLINE void ScoresOf(Panels& keys, const Segment& segment, std::size_t start,
                           std::size_t stop, const NextLines& next) {
    static_assert(kTileTokens <= Panels::kMostPanels * panel_rows);
    const detail::cache_region& region = *segment.keys;
    KeyPanel panels[Panels::kMostPanels];
    std::size_t n = 0;
    for (std::size_t t = start; t < stop; t += panel_rows) {
      panels[n++] = PanelOf(region, t);
    }
    KeyRotation rotation;
    if constexpr (kRotates) {
      const std::size_t position = AreSinks(segment) ? start : start - a_.position_shift;
      const std::size_t half = a_.head_dim / 2;
      rotation = {a_.cosines + position * half, a_.sines + position * half, a_.lane_cosines,
                  a_.lane_sines, a_.rotates_halves};
    }
    keys.Scores(panels, n, rotation, next, Scores(0, 0), kScoreStride);
  }

  /// Weighted values of tokens [t, stop), block by block.
  template <class Panels>
  HWY_INLINE void AddValues(Panels& values, const Segment& segment, std::size_t t,
                            std::size_t start, std::size_t stop, const NextLines& next) {
    constexpr std::size_t kStep = Panels::kStep;
    const detail::cache_region& region = *segment.values;
    while (t < stop) {
      const std::uint8_t* block = BlockOf(region, t);
      const std::size_t place = region.place(t);
      const std::size_t from = place / kStep * kStep;
      const std::size_t last = std::min(region.block_tokens, place + (stop - t));
      const std::size_t count = std::min(round_up(last - from, kStep), kTileTokens);
      // Weights before the first token are 0, being in the margin or of tokens that are not seen.
      const float* weights = Scores(0, t - start) - (place - from);
      t += std::min(last, from + count) - place;
      values.Add(block + region.values_at, from, count, {weights, kScoreStride, rows_},
                 t < stop ? NextLines() : next, outputs_);
    }
  }

  HWY_INLINE void Finish() {
    for (std::size_t r = 0; r < rows_; ++r) {
      StoreRow(a_, head_, first_row_ + r, outputs_ + r * kRowStride, softmax_[r].Total());
    }
  }
  /// A row of y; zeros where no token was seen.
  static HWY_INLINE void StoreRow(const Arguments& a, std::size_t head, std::size_t row, float* sum,
                                  float total) {
    const float inverse = total > 0.0f ? 1.0f / total : 0.0f;
    float* y = a.y + row / a.group * a.y_stride + (head * a.group + row % a.group) * a.head_dim;
    if constexpr (!Values::transform::is_identity) {
      Values::transform::unfold(*static_cast<const ValueData*>(a.value_data), sum, a.head_dim);
    }
    for (std::size_t d = 0; d < a.head_dim; ++d) y[d] = sum[d] * inverse;
  }

  struct Nothing {
    template <class... Any>
    HWY_INLINE explicit Nothing(const Any&...) {}
  };
  KeysOf<typename Keys::spec, Keys::outliers> keys_;
  std::conditional_t<Keys::has_exact, KeysOf<typename Keys::exact, 0>, Nothing> exact_keys_;
  ValuesOf<typename Values::spec, Values::outliers> values_;
  std::conditional_t<Values::has_exact, ValuesOf<typename Values::exact, 0>, Nothing> exact_values_;
  alignas(64) float rotated_[kRotates ? kRows * kRowStride : 1];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
