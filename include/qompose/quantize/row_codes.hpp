// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One row quantized by itself into buffers of fixed size: the keys or values of a token.

#include <cstddef>
#include <type_traits>

#include "qompose/formats/fp32.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/quantize/fit_group.hpp"
#include "qompose/rules/default_rule.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose::detail {
inline namespace QOMPOSE_ISA {

/// Codes, scales and offsets of a row as `Spec` says, without allocation.
///
/// The row is a matrix of its own: where scales are a quant themselves, their own scale is found
/// from the scales of the row.
///
/// @tparam Spec      scales are numbers of a fixed format, or a quant of one with one float for all
/// @tparam kMost     values of the longest row
/// @tparam kGroups   groups of the longest row
template <quant_spec Spec, std::size_t kMost, std::size_t kGroups, class Rule = default_rule>
class row_codes {
  using parts = spec_parts<Spec>;
  using element = typename Spec::element;
  using zero_type = typename Spec::zero_type;
  using outer_quant = typename Spec::scale_type::format;
  static constexpr bool has_outer = quant_spec<outer_quant>;
  using scale_format = typename spec_parts<outer_quant>::element;
  using zero_format =
      typename std::conditional_t<parts::has_zero, zero_type, minimum<fp32>>::format;
  static constexpr bool is_symmetric = !parts::has_zero && !is_unsigned_format<element>;

 public:
  using code_type = typename element::storage_type;

  /// @param entries  of a codebook that the tensor shares; null for every other element
  explicit row_codes(const float* entries = nullptr) noexcept : entries_(entries) {}

  /// Quantizes n finite values, 1 .. kMost, in groups of `group`.
  void run(const float* x, std::size_t n, std::size_t group) {
    groups_ = divide_up(n, group);
    fit(x, n, group);
    store_scales();
    encode(x, n, group);
  }

  [[nodiscard]] code_type code(std::size_t i) const noexcept { return codes_[i]; }
  /// What a code stands for, in groups of `group`.
  [[nodiscard]] float value(std::size_t i, std::size_t group) const noexcept {
    const std::size_t g = i / group;
    float value;
    if constexpr (parts::has_codebook) {
      value = entries_[codes_[i]];
    } else {
      value = element::decode(codes_[i]);
    }
    if constexpr (is_zero_point<zero_type>) return scales_[g] * (value - offsets_[g]);
    if constexpr (is_minimum<zero_type>) return scales_[g] * value + offsets_[g];
    return scales_[g] * value;
  }
  [[nodiscard]] std::size_t groups() const noexcept { return groups_; }
  [[nodiscard]] auto scale_code(std::size_t g) const noexcept { return scale_codes_[g]; }
  [[nodiscard]] auto zero_code(std::size_t g) const noexcept { return zero_codes_[g]; }
  [[nodiscard]] const float* entries() const noexcept { return entries_; }
  /// The float that all scales are multiples of; 1 where they are not.
  [[nodiscard]] float outer_scale() const noexcept { return outer_; }

 private:
  void fit(const float* x, std::size_t n, std::size_t group) {
    codec_.ranges(x, n, group, is_symmetric, ranges_);
    for (std::size_t g = 0; g < groups_; ++g) {
      if constexpr (fits_range<Rule, group_of<Spec>>) {
        fitted_[g] = rule_.template fit_range<group_of<Spec>>(ranges_[g]);
      } else {
        const std::size_t size = std::min(group, n - g * group);
        fitted_[g] = rule_.template fit<group_of<Spec>>(x + g * group, size);
      }
      const group_fit fit = to_store<Spec, Rule>(fitted_[g]);
      scales_[g] = fit.scale;
      offsets_[g] = fit.offset;
    }
  }

  /// Scales and offsets as their formats hold them.
  void store_scales() noexcept {
    if constexpr (has_outer) {
      value_range range;
      for (std::size_t g = 0; g < groups_; ++g) {
        range.lowest = std::min(range.lowest, scales_[g]);
        range.highest = std::max(range.highest, scales_[g]);
      }
      outer_ = Rule{}.template fit_range<group_of<outer_quant>>(range).scale;
      if (!(outer_ > 0.0f)) outer_ = 1.0f;
    }
    for (std::size_t g = 0; g < groups_; ++g) {
      scale_codes_[g] = scale_format::encode(scales_[g] / outer_);
      scales_[g] = scale_format::decode(scale_codes_[g]) * outer_;
      if constexpr (parts::has_zero) {
        zero_codes_[g] = zero_format::encode(offsets_[g]);
        offsets_[g] = zero_format::decode(zero_codes_[g]);
      }
    }
  }

  void encode(const float* x, std::size_t n, std::size_t group) {
    if constexpr (parts::has_codebook) {
      for (std::size_t g = 0; g < groups_; ++g) {
        const std::size_t size = std::min(group, n - g * group);
        codec_.encode(x + g * group, size, scales_[g], entries_, element::entries,
                      codes_ + g * group);
      }
    } else if constexpr (makes_codes<Rule, group_of<Spec>> ||
                         requires { element::encode_beyond(0.0f, 0.0f); }) {
      for (std::size_t i = 0; i < n; ++i) {
        codes_[i] = encode_fitted<Spec>(rule_, x[i], fitted_[i / group]);
      }
    } else {
      codec_.encode(x, n, group, scales_, offsets_, ranges_, codes_);
    }
  }

  using codec_type = decltype(best_codec<element, zero_type>());
  [[no_unique_address]] Rule rule_;
  codec_type codec_ = best_codec<element, zero_type>();
  const float* entries_;
  std::size_t groups_ = 0;
  float outer_ = 1.0f;
  value_range ranges_[kGroups];
  fitted_scale fitted_[kGroups];
  float scales_[kGroups];
  float offsets_[kGroups];
  typename scale_format::storage_type scale_codes_[kGroups];
  typename zero_format::storage_type zero_codes_[kGroups];
  code_type codes_[kMost];
};

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
