// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Attention over latents, of which keys are rebuilt tile by tile and values never.

#if defined(QOMPOSE_KERNELS_LATENT_ATTENTION_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_LATENT_ATTENTION_INL_HPP_
#undef QOMPOSE_KERNELS_LATENT_ATTENTION_INL_HPP_
#else
#define QOMPOSE_KERNELS_LATENT_ATTENTION_INL_HPP_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "qompose/kernels/attention_floats-inl.hpp"
#include "qompose/kernels/attention_keys-inl.hpp"
#include "qompose/kernels/elementwise-inl.hpp"
#include "qompose/kernels/latent_arguments.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/kernels/softmax-inl.hpp"
#include "qompose/kernels/transpose-inl.hpp"
#include "qompose/packing/cache_block.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Columns that are decoded together, a multiple of every unit of codes: sixteen tokens of them
/// stay in the nearest cache while the factors of all heads pass by.
constexpr std::size_t kLatentColumns = 256;

/// Latents of sixteen tokens, a panel of keys as long as the rank, as floats.
template <class Codes>
class LatentPanels {
 public:
  HWY_INLINE LatentPanels(std::size_t rank, const float* entries)
      : block_({rank, panel_rows}), panel_(entries) {}

  /// Columns [first, first + kLatentColumns) of the panel of token `place` of a block, as
  /// [kLatentColumns][16]; those past the rank are 0.
  /// @param panels  a LatentPanels<Codes>
  /// @param first   a multiple of kLatentColumns
  static void Decode(const void* panels, const std::byte* block, std::size_t place,
                     std::size_t first, float* out) {
    static_cast<const LatentPanels*>(panels)->Columns(block, place, first, out);
  }

 private:
  HWY_INLINE void Columns(const std::byte* block, std::size_t place, std::size_t first,
                          float* out) const {
    const auto* panel = reinterpret_cast<const std::uint8_t*>(block) + block_.panel_at(place);
    const std::size_t rank = block_.head_dim;
    const std::size_t stored = std::min(block_.columns() - first, kLatentColumns);
    panel_.Decode(panel + block_.codes_at() + first * Codes::column_bytes, stored, out);
    const std::size_t last = std::min(first + kLatentColumns, rank);
    if constexpr (Codes::is_scaled) {
      const std::size_t group = block_.template group_cols<Codes>();
      for (std::size_t k = first; k < last;) {
        const std::size_t g = k / group;
        const std::size_t end = std::min(last, (g + 1) * group);
        scales_.Apply(block_, panel, g, end - k, out + (k - first) * panel_rows);
        k = end;
      }
    }
    // Padding holds whatever its bits stand for, NaN included.
    const std::size_t padded = std::min(first + kLatentColumns, round_up(rank, panel_rows));
    std::fill(out + (last - first) * panel_rows, out + (padded - first) * panel_rows, 0.0f);
  }

  detail::key_block<Codes> block_;
  FloatPanel<Codes> panel_;
  KeyScales<Codes> scales_;
};

/// Attention of a block of query rows, of one or more KV heads, over some of the tokens.
///
/// A tile of latents is decoded once for all rows of the block. With rotary embedding the keys of
/// the tile are rebuilt for each head, U_k C^T, and rotated; without it queries have been
/// multiplied by U_k and meet the latents themselves. Weights meet latents; `Finish` multiplies
/// their sums by U_v.
///
/// Nothing but decoding depends on how latents are stored, and it is called by its address: a call
/// for each 4096 numbers costs nothing beside what is done with them.
///
/// @tparam kRotates  whether there is rotary embedding
template <bool kRotates>
class LatentAttention {
  using Arguments = detail::latent_arguments;
  using Block = detail::latent_block;
  using Memory = detail::latent_memory;
  static constexpr std::size_t kRows = detail::attention_rows;
  static constexpr std::size_t kTile = detail::latent_tile;

 public:
  /// @tparam Codes       a detail::cache_codes
  /// @param takes_sinks  in one of the runs over a block's tokens, the logits of sinks take part
  /// @pre block.all_rows() <= detail::attention_rows
  template <class Codes>
  static void Run(const Arguments& a, const Block& block, std::size_t begin, std::size_t end,
                  bool takes_sinks, float* memory) {
    const LatentPanels<Codes> panels(a.sizes.rank, a.key_entries);
    RunWith(a, block, begin, end, takes_sinks, memory, {&panels, &LatentPanels<Codes>::Decode});
  }

  /// Adds to the first of `n_parts` runs over different tokens, `stride` floats apart, the others.
  static void Merge(const Arguments& a, const Block& block, float* first, std::size_t stride,
                    std::size_t n_parts) {
    const Memory to(a, block, first);
    const std::size_t rank = a.sizes.padded_rank();
    for (std::size_t r = 0; r < block.all_rows(); ++r) {
      float peak = to.peaks[r];
      for (std::size_t p = 1; p < n_parts; ++p) {
        peak = std::max(peak, to.peaks[p * stride + r]);
      }
      float total = 0.0f;
      for (std::size_t p = 0; p < n_parts; ++p) {
        const float part_total = to.totals[p * stride + r];
        const float weight = part_total > 0.0f ? std::exp(to.peaks[p * stride + r] - peak) : 0.0f;
        total += weight * part_total;
        float* sum = to.sums + r * a.sizes.rank_stride();
        const float* part = sum + p * stride;
        const VF weights = hn::Set(DF(), weight);
        for (std::size_t k = 0; k < rank; k += N) {
          VF value = hn::Mul(weights, hn::LoadU(DF(), part + k));
          if (p > 0) value = hn::Add(value, hn::LoadU(DF(), sum + k));
          hn::StoreU(value, DF(), sum + k);
        }
      }
      to.totals[r] = total;
    }
  }

  /// Rows of y; zeros where no token was seen.
  static void Finish(const Arguments& a, const Block& block, float* memory) {
    const Memory from(a, block, memory);
    const std::size_t stride = a.sizes.rank_stride();
    for (std::size_t h = 0; h < block.n_heads; ++h) {
      const std::size_t head = block.first_head + h;
      const float* factors = a.value_factors + head * a.sizes.value_factors();
      constexpr std::size_t kWide = 2 * panel_rows;
      const std::size_t panel = a.sizes.padded_rank() * panel_rows;
      for (std::size_t d = 0; d < a.head_dim; d += kWide) {
        alignas(64) float sums[kRows * kWide];
        const std::size_t count = std::min(kWide, a.head_dim - d);
        FloatProducts<fp32>::Run({from.sums + h * block.rows * stride, stride, block.rows},
                                 factors + d / panel_rows * panel, panel * sizeof(float),
                                 divide_up(count, panel_rows), a.sizes.padded_rank(),
                                 {sums, kWide});
        for (std::size_t r = 0; r < block.rows; ++r) {
          const float total = from.totals[h * block.rows + r];
          const float inverse = total > 0.0f ? 1.0f / total : 0.0f;
          const std::size_t row = block.first_row + r;
          float* y =
              a.y + row / a.group * a.y_stride + (head * a.group + row % a.group) * a.head_dim + d;
          for (std::size_t i = 0; i < count; ++i) y[i] = sums[r * kWide + i] * inverse;
        }
      }
    }
  }

 private:
  /// What decodes panels of latents.
  struct Decoder {
    const void* panels;
    void (*decode)(const void* panels, const std::byte* block, std::size_t place, std::size_t first,
                   float* out);
  };

  static void RunWith(const Arguments& a, const Block& block, std::size_t begin, std::size_t end,
                      bool takes_sinks, float* memory, const Decoder& decoder) {
    LatentAttention work(a, block, memory, decoder);
    if (takes_sinks) work.AddSinks();
    std::size_t first_seen, last_seen, unused;
    work.Visible(0, first_seen, unused);
    work.Visible(block.rows - 1, unused, last_seen);
    end = std::min(end, last_seen);
    // Tiles begin where panels do; tokens before the first one are seen by no row.
    for (std::size_t t = std::max(begin, first_seen) / panel_rows * panel_rows; t < end;
         t += kTile) {
      work.AddTile(t, std::min(t + kTile, end));
    }
    work.Leave();
  }

  HWY_INLINE LatentAttention(const Arguments& a, const Block& block, float* memory,
                             const Decoder& decoder)
      : a_(a),
        block_(block),
        memory_(a, block, memory),
        rows_(block.all_rows()),
        rank_(a.sizes.padded_rank()),
        stride_(a.sizes.rank_stride()),
        dim_(a.sizes.padded_dim()),
        decoder_(decoder) {
    for (std::size_t r = 0; r < rows_; ++r) LoadQuery(r);
    std::memset(memory_.sums, 0, rows_ * stride_ * sizeof(float));
    if constexpr (!kRotates) Absorb();
  }

  /// Query, and query head, of a row.
  [[nodiscard]] HWY_INLINE std::size_t Query(std::size_t r) const {
    return (block_.first_row + r % block_.rows) / a_.group;
  }
  [[nodiscard]] HWY_INLINE std::size_t QueryHead(std::size_t r) const {
    return (block_.first_head + r / block_.rows) * a_.group +
           (block_.first_row + r % block_.rows) % a_.group;
  }
  /// The tokens that a row sees.
  HWY_INLINE void Visible(std::size_t r, std::size_t& begin, std::size_t& end) const {
    const std::size_t after = a_.first + Query(r) + 1;
    begin = a_.window > 0 && after > a_.window ? after - a_.window : 0;
    end = a_.is_causal ? after : ~std::size_t{0};
  }

  /// A query with all that scores are multiplied by, rotated.
  HWY_INLINE void LoadQuery(std::size_t r) {
    const float* q = a_.q + Query(r) * a_.q_stride + QueryHead(r) * a_.head_dim;
    float* out = memory_.queries + r * dim_;
    for (std::size_t d = 0; d < a_.head_dim; ++d) out[d] = q[d] * a_.scale;
    std::fill(out + a_.head_dim, out + dim_, 0.0f);
    if constexpr (!kRotates) return;
    const std::size_t at = (a_.first + Query(r)) * (a_.head_dim / 2);
    if (a_.rotates_halves) {
      Elementwise::RopeHalf(a_.cosines + at, a_.sines + at, out, a_.head_dim);
    } else {
      Elementwise::RopeInterleaved(a_.cosines + at, a_.sines + at, out, a_.head_dim);
    }
  }
  [[nodiscard]] HWY_INLINE const float* KeyFactors(std::size_t h) const {
    return a_.key_factors + (block_.first_head + h) * a_.sizes.key_factors();
  }
  /// Queries times U_k.
  HWY_INLINE void Absorb() {
    for (std::size_t h = 0; h < block_.n_heads; ++h) {
      const float* factors = KeyFactors(h);
      const std::size_t first = h * block_.rows;
      NextLines none;
      FloatProducts<fp32, true>::Run({memory_.queries + first * dim_, dim_, block_.rows}, factors,
                                     panel_rows * sizeof(float), rank_ / panel_rows, dim_,
                                     {memory_.keys + first * stride_, stride_}, none, stride_);
    }
  }

  HWY_INLINE void AddSinks() {
    if (a_.sink_logits == nullptr) return;
    for (std::size_t r = 0; r < rows_; ++r) {
      softmax_[r].StartWith(a_.sink_logits[QueryHead(r)]);
    }
  }

  /// Tokens [start, stop), from the start of a panel.
  HWY_INLINE void AddTile(std::size_t start, std::size_t stop) {
    const std::size_t count = round_up(stop - start, panel_rows);
    for (std::size_t k = 0; k < rank_; k += kLatentColumns) {
      const std::size_t columns = std::min(kLatentColumns, rank_ - k);
      for (std::size_t i = 0; i < count; i += panel_rows) {
        float* floats = floats_ + i * kLatentColumns;
        const std::size_t t = start + i;
        decoder_.decode(decoder_.panels, a_.latents.block(0, t), a_.latents.place(t), k, floats);
        // What lies past the last token may be NaN, which a weight of 0 does not hide.
        for (std::size_t lane = stop - t; lane < panel_rows; ++lane) {
          for (std::size_t c = 0; c < columns; ++c) floats[c * panel_rows + lane] = 0.0f;
        }
        Keep(floats, k, columns, i);
      }
      if constexpr (kRotates) {
        for (std::size_t h = 0; h < block_.n_heads; ++h) {
          MeetLatents({KeyFactors(h) + k, stride_, dim_}, count, columns,
                      {Keys(h, 0), panel_rows, nullptr, k > 0, dim_ * panel_rows});
        }
      } else {
        MeetLatents({memory_.keys + k, stride_, rows_}, count, columns,
                    {scores_, kTile, nullptr, k > 0});
      }
    }
    if constexpr (kRotates) MeetKeys(start, count);
    Weigh(start, stop, count);
    FloatProducts<fp32>::Run({scores_, kTile, rows_}, memory_.tile,
                             kTile * panel_rows * sizeof(float), rank_ / panel_rows, count,
                             {memory_.sums, stride_, nullptr, true});
  }

  /// Columns [k, k + columns) of sixteen tokens into the tile that weights meet.
  HWY_INLINE void Keep(const float* floats, std::size_t k, std::size_t columns, std::size_t token) {
    for (std::size_t c = 0; c < columns; c += panel_rows) {
      float* to = memory_.tile + (k + c) * kTile + token * panel_rows;
      for (std::size_t i = 0; i < panel_rows; i += N) {
        for (std::size_t lane = 0; lane < panel_rows; lane += N) {
          VF square[N];
          Each<N>([&](auto j) QOMPOSE_FLATTEN {
            square[j] = hn::Load(DF(), floats + (c + i + j) * panel_rows + lane);
          });
          Transpose(square);
          Each<N>([&](auto j) QOMPOSE_FLATTEN {
            hn::StoreU(square[j], DF(), to + (lane + j) * panel_rows + i);
          });
        }
      }
    }
  }

  /// Products of rows and `count` tokens of latents, of some columns: scores, or keys.
  HWY_INLINE void MeetLatents(const FloatRows& rows, std::size_t count, std::size_t columns,
                              const PanelSums& sums) const {
    FloatProducts<fp32>::Run(rows, floats_, kLatentColumns * panel_rows * sizeof(float),
                             count / panel_rows, columns, sums);
  }

  [[nodiscard]] HWY_INLINE float* Keys(std::size_t h, std::size_t token) const {
    return memory_.keys + (h * kTile + token) * dim_;
  }
  /// Scores of queries and rebuilt keys.
  HWY_INLINE void MeetKeys(std::size_t start, std::size_t count) {
    for (std::size_t h = 0; h < block_.n_heads; ++h) {
      for (std::size_t i = 0; i < count; i += panel_rows) {
        float* keys = Keys(h, i);
        const std::size_t at = (start + i) * (a_.head_dim / 2);
        RotatePanel(
            {a_.cosines + at, a_.sines + at, a_.lane_cosines, a_.lane_sines, a_.rotates_halves},
            a_.head_dim, keys);
      }
      const std::size_t first = h * block_.rows;
      FloatProducts<fp32>::Run({memory_.queries + first * dim_, dim_, block_.rows}, Keys(h, 0),
                               dim_ * panel_rows * sizeof(float), count / panel_rows, dim_,
                               {scores_ + first * kTile, kTile});
    }
  }
  /// Scores to weights.
  HWY_INLINE void Weigh(std::size_t start, std::size_t stop, std::size_t count) {
    for (std::size_t r = 0; r < rows_; ++r) {
      float* scores = scores_ + r * kTile;
      std::size_t begin, end;
      Visible(r, begin, end);
      begin = std::max(begin, start);
      end = std::min(end, stop);
      const float shrink = WeighRow(a_, Query(r), softmax_[r], scores, start, count, begin, end);
      if (shrink != 1.0f) MultiplyRow(memory_.sums + r * stride_, rank_, shrink);
    }
  }

  HWY_INLINE void Leave() const {
    for (std::size_t r = 0; r < rows_; ++r) {
      memory_.peaks[r] = softmax_[r].peak;
      memory_.totals[r] = softmax_[r].Total();
    }
  }

  const Arguments& a_;
  const Block& block_;
  Memory memory_;
  std::size_t rows_;
  std::size_t rank_;
  std::size_t stride_;
  std::size_t dim_;
  Decoder decoder_;
  OnlineSoftmax softmax_[kRows];
  alignas(64) float scores_[kRows * kTile];
  alignas(64) float floats_[kTile * kLatentColumns];
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
