// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rotary position embedding, both pairings, with linear and Llama-3 scaling.

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/nn/rope_scaling.hpp"

namespace qompose {

/// Cosines and sines for every position of a context: two floats per pair of elements. And those of
/// positions 0 to 15 side by side, from which `attention` makes those of sixteen keys anywhere.
///
/// @par Source
/// Su et al., "RoFormer", 2021, arXiv:2104.09864, equation 34; angles are found in double.
class rope_table {
 public:
  QOMPOSE_INLINE rope_table() noexcept = default;

  /// @param head_dim   elements a head, even
  /// @param seq_len    positions 0 .. seq_len - 1
  /// @param theta      base of the frequencies, > 0
  /// @param scaling    stretch of the frequencies
  /// @throws qompose::argument_error if head_dim is odd or theta or factor is not positive
  /// @throws qompose::shape_error if there are frequency factors, but not head_dim / 2
  QOMPOSE_INLINE rope_table(std::size_t head_dim, std::size_t seq_len, float theta,
                            const rope_scaling& scaling = {})
      : half_(head_dim / 2),
        cosines_(seq_len * half_),
        sines_(seq_len * half_),
        lane_cosines_(lanes * half_),
        lane_sines_(lanes * half_) {
    if (head_dim % 2 != 0 || !(theta > 0.0f) || !(scaling.factor > 0.0f)) {
      throw argument_error("rope: head_dim " + std::to_string(head_dim) + ", theta " +
                           std::to_string(theta) + ", factor " + std::to_string(scaling.factor) +
                           "; expected an even head_dim and positive numbers");
    }
    const std::vector<float>& divisors = scaling.frequency_factors;
    if (!divisors.empty() && divisors.size() != half_) {
      throw shape_error("rope: frequency factors: " + std::to_string(divisors.size()) +
                        " elements, expected " + std::to_string(half_));
    }
    for (std::size_t i = 0; i < half_; ++i) {
      double frequency = std::pow(static_cast<double>(theta),
                                  -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
      frequency = scaled(frequency, scaling);
      if (!divisors.empty()) frequency /= static_cast<double>(divisors[i]);
      const auto set = [&](std::size_t position, float& cosine, float& sine) QOMPOSE_FLATTEN {
        const double angle = static_cast<double>(position) * frequency;
        cosine = static_cast<float>(std::cos(angle));
        sine = static_cast<float>(std::sin(angle));
      };
      for (std::size_t t = 0; t < seq_len; ++t) {
        set(t, cosines_[t * half_ + i], sines_[t * half_ + i]);
      }
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        set(lane, lane_cosines_[i * lanes + lane], lane_sines_[i * lanes + lane]);
      }
    }
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t head_dim() const noexcept { return 2 * half_; }
  /// Positions in the table.
  [[nodiscard]] QOMPOSE_INLINE std::size_t seq_len() const noexcept {
    return half_ == 0 ? 0 : cosines_.size() / half_;
  }
  /// head_dim / 2 cosines of a position, unchecked.
  [[nodiscard]] QOMPOSE_INLINE const float* cosines(std::size_t position) const noexcept {
    return cosines_.data() + position * half_;
  }
  /// head_dim / 2 sines of a position, unchecked.
  [[nodiscard]] QOMPOSE_INLINE const float* sines(std::size_t position) const noexcept {
    return sines_.data() + position * half_;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return (cosines_.size() + sines_.size() + lane_cosines_.size() + lane_sines_.size()) *
           sizeof(float);
  }

  /// [head_dim / 2][16], of positions 0 to 15.
  [[nodiscard]] QOMPOSE_INLINE const float* lane_cosines() const noexcept {
    return lane_cosines_.data();
  }
  [[nodiscard]] QOMPOSE_INLINE const float* lane_sines() const noexcept {
    return lane_sines_.data();
  }

 private:
  static constexpr std::size_t lanes = 16;

  QOMPOSE_INLINE static double scaled(double frequency, const rope_scaling& scaling) noexcept {
    const auto factor = static_cast<double>(scaling.factor);
    if (scaling.method == rope_scaling::kind::none) return frequency;
    if (scaling.method == rope_scaling::kind::linear) return frequency / factor;
    constexpr double two_pi = 6.283185307179586;
    const auto low = static_cast<double>(scaling.low_freq_factor);
    const auto high = static_cast<double>(scaling.high_freq_factor);
    // How many turns the pair makes over the original context.
    const double turns = static_cast<double>(scaling.original_seq_len) * frequency / two_pi;
    if (turns < low) return frequency / factor;
    if (turns > high) return frequency;
    const double smooth = (turns - low) / (high - low);
    return (1.0 - smooth) * frequency / factor + smooth * frequency;
  }

  std::size_t half_ = 0;
  aligned_buffer<float> cosines_;
  aligned_buffer<float> sines_;
  aligned_buffer<float> lane_cosines_;
  aligned_buffer<float> lane_sines_;
};

inline namespace QOMPOSE_ISA {

/// Rotates the heads of consecutive tokens in place.
///
/// @param table     cosines and sines of every position
/// @param pairing   which elements are rotated together
/// @param position  of the first row, in tokens
/// @param x         [n_tokens, n_heads * head_dim]
/// @throws qompose::shape_error if a row is not a whole number of heads
/// @throws qompose::argument_error if a position is past the table
template <class Isa = isa_tag>
void apply_rope(const rope_table& table, rope_pairing pairing, std::size_t position,
                matrix_view<float> x) {
  const std::size_t head_dim = table.head_dim();
  if (head_dim == 0 || x.cols() % head_dim != 0) {
    throw shape_error("rope: " + std::to_string(x.cols()) + " columns, expected a multiple of " +
                      std::to_string(head_dim));
  }
  if (position + x.rows() > table.seq_len()) {
    throw argument_error("rope: position " + std::to_string(position + x.rows()) +
                         ", the table ends at " + std::to_string(table.seq_len()));
  }
  const auto kernel = detail::with_best_target<Isa>([&]<class Target>() {
    return pairing == rope_pairing::half ? &Target::elementwise::RopeHalf
                                         : &Target::elementwise::RopeInterleaved;
  });
  for (std::size_t t = 0; t < x.rows(); ++t) {
    for (std::size_t c = 0; c < x.cols(); c += head_dim) {
      kernel(table.cosines(position + t), table.sines(position + t), x.row(t) + c, head_dim);
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
