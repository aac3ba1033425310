// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief What attention keeps of a block of query rows, whatever the cache stores.

#if defined(QOMPOSE_KERNELS_ATTENTION_ROWS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ATTENTION_ROWS_INL_HPP_
#undef QOMPOSE_KERNELS_ATTENTION_ROWS_INL_HPP_
#else
#define QOMPOSE_KERNELS_ATTENTION_ROWS_INL_HPP_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>

#include "qompose/kernels/attention_keys-inl.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/elementwise-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/softmax-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// A block of query rows, all of one KV head: scores, the running softmax and weighted sums. Row r
/// is query r / group of query head `head * group + r % group`.
///
/// Nothing here depends on the cache, so it is compiled once for all of them.
class AttentionRows {
 protected:
  using Arguments = detail::attention_arguments;
  using Segment = detail::cache_segment;
  static constexpr std::size_t kRows = detail::attention_rows;
  static constexpr std::size_t kTileTokens = 64;
  /// Weights of a tile may be read from up to a unit before its first token, and past its last one.
  static constexpr std::size_t kMargin = widest_panel_step;
  /// An odd number of lines, as kRowStride is.
  static constexpr std::size_t kScoreStride = kMargin + kTileTokens + kMargin + 5 * panel_rows;

  HWY_INLINE AttentionRows(const Arguments& a, std::size_t head, std::size_t first_row,
                           std::size_t rows)
      : a_(a),
        dim_(round_up(a.head_dim, panel_rows)),
        head_(head),
        first_row_(first_row),
        rows_(rows) {
    Start();
  }

  [[nodiscard]] HWY_INLINE std::size_t QueryHead(std::size_t row) const {
    return head_ * a_.group + row % a_.group;
  }
  /// A row's query as it was handed in.
  [[nodiscard]] HWY_INLINE const float* Query(std::size_t r) const {
    const std::size_t row = first_row_ + r;
    return a_.q + row / a_.group * a_.q_stride + QueryHead(row) * a_.head_dim;
  }
  /// Position of a row's query.
  [[nodiscard]] HWY_INLINE std::size_t Position(std::size_t r) const { return positions_[r]; }
  [[nodiscard]] HWY_INLINE bool AreSinks(const Segment& segment) const {
    return segment.end <= a_.sinks;
  }
  /// The tokens of a segment that a row sees.
  HWY_INLINE void Visible(const Segment& segment, std::size_t r, std::size_t& begin,
                          std::size_t& end) const {
    const std::size_t after = Position(r) + 1;
    begin = segment.begin;
    end = a_.is_causal ? std::min(segment.end, after) : segment.end;
    if (a_.window > 0 && !AreSinks(segment) && after > a_.window)
      begin = std::max(begin, after - a_.window);
  }

  HWY_INLINE void AddSinks() {
    if (a_.sink_logits == nullptr) return;
    for (std::size_t r = 0; r < rows_; ++r) {
      softmax_[r].StartWith(a_.sink_logits[QueryHead(first_row_ + r)]);
    }
  }

  /// Queries as keys of a segment want them that are rotated when they are read.
  HWY_NOINLINE void RotateQueries(const Segment& segment, float* rotated) const {
    const std::size_t half = a_.head_dim / 2;
    for (std::size_t r = 0; r < rows_; ++r) {
      const std::size_t position = AreSinks(segment) ? std::min(Position(r), a_.last_position)
                                                     : Position(r) - a_.position_shift;
      float* out = rotated + r * kRowStride;
      std::memcpy(out, queries_ + r * kRowStride, kRowStride * sizeof(float));
      const float* cosines = a_.cosines + position * half;
      const float* sines = a_.sines + position * half;
      if (a_.rotates_halves) {
        Elementwise::RopeHalf(cosines, sines, out, a_.head_dim);
      } else {
        Elementwise::RopeInterleaved(cosines, sines, out, a_.head_dim);
      }
    }
  }

  /// Scores of tokens [start, stop) to weights.
  HWY_NOINLINE void Weigh(const Segment& segment, std::size_t start, std::size_t stop) {
    const std::size_t count = round_up(stop - start, panel_rows);
    const bool is_plain = a_.soft_cap <= 0.0f && a_.bias == nullptr;
    for (std::size_t r = 0; r < rows_; ++r) {
      float* scores = Scores(r, 0);
      std::size_t begin, end;
      Visible(segment, r, begin, end);
      begin = std::max(begin, start);
      end = std::min(end, stop);
      float shrink;
      if (HWY_LIKELY(is_plain && end - begin == kTileTokens && begin == start)) {
        shrink = softmax_[r].WeighAll(scores, std::integral_constant<std::size_t, kTileTokens>());
      } else {
        shrink =
            WeighRow(a_, Position(r) - a_.first, softmax_[r], scores, start, count, begin, end);
        std::fill(scores + count, scores + kTileTokens, 0.0f);
      }
      if (shrink != 1.0f) MultiplyRow(outputs_ + r * kRowStride, dim_, shrink);
    }
  }

  /// Of a row, from token `i` of the tile on; weights once there are any.
  [[nodiscard]] HWY_INLINE float* Scores(std::size_t r, std::size_t i) {
    return scores_ + r * kScoreStride + kMargin + i;
  }

  HWY_NOINLINE void Leave(const detail::attention_partial& partial) const {
    for (std::size_t r = 0; r < rows_; ++r) {
      std::memcpy(partial.outputs + r * dim_, outputs_ + r * kRowStride, dim_ * sizeof(float));
      partial.peaks[r] = softmax_[r].peak;
      partial.totals[r] = softmax_[r].Total();
    }
  }

  /// The sum of what `n_parts` runs have left of row r, `stride` floats apart.
  /// @return the total of weights
  static HWY_NOINLINE float Join(const detail::attention_partial& first, std::size_t stride,
                                 std::size_t n_parts, std::size_t r, std::size_t dim, float* sum) {
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
    return total;
  }

 private:
  HWY_NOINLINE void Start() {
    for (std::size_t r = 0; r < rows_; ++r) {
      std::memset(outputs_ + r * kRowStride, 0, dim_ * sizeof(float));
      std::fill_n(scores_ + r * kScoreStride, kMargin, 0.0f);
      std::fill_n(Scores(r, kTileTokens), kMargin, 0.0f);
      positions_[r] = a_.first + (first_row_ + r) / a_.group;
      const float* q = Query(r);
      float* out = queries_ + r * kRowStride;
      for (std::size_t d = 0; d < a_.head_dim; ++d) out[d] = q[d] * a_.scale;
      std::fill(out + a_.head_dim, out + round_up(a_.head_dim, widest_panel_step), 0.0f);
    }
  }

 protected:
  Arguments a_;
  std::size_t dim_;
  std::size_t head_;
  std::size_t first_row_;
  std::size_t rows_;
  std::size_t positions_[kRows];
  OnlineSoftmax softmax_[kRows];
  alignas(64) float queries_[kRows * kRowStride];
  alignas(64) float outputs_[kRows * kRowStride];
  alignas(64) float scores_[kRows * kScoreStride];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
