// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One row, fitted and encoded while it is in cache: groups within the row, each with a
/// scale
///        that does not depend on the others'.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/packing/code_layout.hpp"
#include "qompose/packing/integer_image.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/quantize/fit_group.hpp"
#include "qompose/quantize/require.hpp"
#include "qompose/rules/rule.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose::detail {

/// What can be wrong with a group.
enum class group_fault { none, not_finite, overflow };

/// How a run of groups ended: its first fault, and the group that has it.
struct row_status {
  group_fault fault = group_fault::none;
  std::size_t group = 0;
};

inline namespace QOMPOSE_ISA {

/// Whether the codes of a group follow from its stored scale and offset alone.
template <quant_spec Spec, class Rule>
inline constexpr bool codes_follow_scales =
    !makes_codes<Rule, group_of<Spec>> && !requires { Spec::element::encode_beyond(0.0f, 0.0f); };

/// The groups of a row, some at a time, so that all there is between floats and codes lies on the
/// stack.
template <quant_spec Spec, class Rule>
class row_quantizer {
  using element = typename Spec::element;
  using zero_type = typename Spec::zero_type;
  using scale_format = typename Spec::scale_type::format;
  using parts = spec_parts<Spec>;
  using code_type = typename element::storage_type;
  // A stand-in where there is no offset, for the sizes of arrays.
  using zero_format = std::conditional_t<parts::has_zero, typename zero_type::format, scale_format>;

 public:
  explicit row_quantizer(const Rule& rule) : rule_(rule) {}

  /// Fits and stores row r of q.
  row_status store(quantized_matrix<Spec>& q, std::size_t r, const float* row) {
    const std::size_t cols = q.cols();
    const std::size_t step = q.group_cols();
    for (std::size_t first = 0, g = 0; first < cols;
         first += most_groups * step, g += most_groups) {
      const std::size_t size = std::min(most_groups * step, cols - first);
      const row_status status = fit(row + first, size, step);
      if (status.fault == group_fault::not_finite) return {status.fault, g + status.group};
      scale_codec_.pack(scale_codes_, groups_, q.scales().codes().at(r, g));
      if constexpr (parts::has_zero) {
        zero_codec_.pack(zero_codes_, groups_, q.zeros().codes().at(r, g));
      }
      if (status.fault != group_fault::none) return {status.fault, g + status.group};
      if (element::bits >= 8 && step > size / 2) {
        // Codes of whole bytes go straight to where they are kept, however many there are.
        if constexpr (element::bits >= 8) {
          encode_run(row + first, size, step, 0, q.codes().row(r) + first);
        }
        continue;
      }
      for_each_run(
          size, step, [&](std::size_t at, std::size_t count, std::size_t group, std::size_t index) {
            if constexpr (element::bits >= 8) {
              encode_run(row + first + at, count, group, index, q.codes().row(r) + first + at);
            } else {
              encode_run(row + first + at, count, group, index, codes_);
              store_run(q, r, first + at, count);
            }
          });
    }
    return {};
  }

  /// Rounds a row in place to what it would be stored as.
  row_status round(float* row, std::size_t cols) {
    return for_each_fit(row, cols, [&](std::size_t first, std::size_t, std::size_t size) {
      for_each_run(size, group_cols(cols),
                   [&](std::size_t at, std::size_t count, std::size_t group, std::size_t index) {
                     float* values = row + first + at;
                     encode_run(values, count, group, index, codes_);
                     codec_.decode(codes_, count, group, scales_ + index, offsets_ + index, values);
                   });
    });
  }

  /// Codes of a row as the integers of integer_image, and set_scale(group, scale) for each group.
  template <class SetScale>
  row_status integers(const float* row, std::size_t cols, std::int8_t* out, SetScale&& set_scale) {
    return for_each_fit(row, cols, [&](std::size_t first, std::size_t g, std::size_t size) {
      for (std::size_t i = 0; i < groups_; ++i) set_scale(g + i, scales_[i]);
      for_each_run(size, group_cols(cols),
                   [&](std::size_t at, std::size_t count, std::size_t group, std::size_t index) {
                     encode_run(row + first + at, count, group, index, codes_);
                     std::int8_t* integers = out + first + at;
                     for (std::size_t i = 0; i < count; ++i) integers[i] = integer_of(codes_[i]);
                   });
    });
  }

 private:
  static constexpr std::size_t most_groups = 64;
  static constexpr std::size_t most_codes = 2048;
  /// Signed codes without an offset treat both signs alike.
  static constexpr bool is_symmetric = !parts::has_zero && !is_unsigned_format<element>;

  static std::int8_t integer_of(code_type code) noexcept {
    using image = integer_image<element>;
    if constexpr (integer_format<element>) {
      return static_cast<std::int8_t>(code);
    } else {
      const auto field = static_cast<std::size_t>(code - code_layout<element>::field_offset);
      return static_cast<std::int8_t>(image::table[field] + image::lowest);
    }
  }

  static std::size_t group_cols(std::size_t cols) noexcept {
    return Spec::granularity_type::group_cols(cols);
  }

  /// use(first value, its group, number of values) for as many groups at a time as are fitted
  /// together, up to the first fault.
  template <class Use>
  row_status for_each_fit(const float* row, std::size_t cols, Use&& use) {
    const std::size_t step = group_cols(cols);
    for (std::size_t first = 0, g = 0; first < cols;
         first += most_groups * step, g += most_groups) {
      const std::size_t size = std::min(most_groups * step, cols - first);
      const row_status status = fit(row + first, size, step);
      if (status.fault != group_fault::none) return {status.fault, g + status.group};
      use(first, g, size);
    }
    return {};
  }

  /// Finds scales and offsets of the groups of n values, as their formats hold them.
  row_status fit(const float* x, std::size_t n, std::size_t step) {
    groups_ = divide_up(n, step);
    codec_.ranges(x, n, step, is_symmetric, ranges_);
    for (std::size_t g = 0; g < groups_; ++g) {
      if (ranges_[g].highest != ranges_[g].highest) return {group_fault::not_finite, g};
    }
    for (std::size_t g = 0; g < groups_; ++g) {
      fitted_scale fitted;
      if constexpr (fits_range<Rule, group_of<Spec>>) {
        fitted = rule_.template fit_range<group_of<Spec>>(ranges_[g]);
      } else {
        const std::size_t size = std::min(step, n - g * step);
        fitted = rule_.template fit<group_of<Spec>>(x + g * step, size);
      }
      if constexpr (!codes_follow_scales<Spec, Rule>) fitted_[g] = fitted;
      const group_fit fit = to_store<Spec, Rule>(fitted);
      scales_[g] = fit.scale;
      offsets_[g] = fit.offset;
    }
    row_status status;
    for (std::size_t g = groups_; g-- > 0;) {
      bool held = can_hold<scale_format>(scales_[g]);
      if constexpr (is_minimum<zero_type>) held = held && can_hold<zero_format>(offsets_[g]);
      if (!held) status = {group_fault::overflow, g};
    }
    constexpr float unit = 1.0f;
    scale_codec_.encode(scales_, groups_, groups_, &unit, nullptr, nullptr, scale_codes_);
    scale_codec_.decode(scale_codes_, groups_, groups_, &unit, nullptr, scales_);
    if constexpr (parts::has_zero) {
      zero_codec_.encode(offsets_, groups_, groups_, &unit, nullptr, nullptr, zero_codes_);
      zero_codec_.decode(zero_codes_, groups_, groups_, &unit, nullptr, offsets_);
    }
    return status;
  }

  /// use(first, count, group size, index of the first group) for pieces of n values that fit the
  /// buffer of codes: several whole groups, or a part of one.
  template <class Use>
  void for_each_run(std::size_t n, std::size_t step, Use&& use) {
    // Whole groups, eight at a time, so that runs begin at bytes.
    const std::size_t together = step <= most_codes / 8 ? most_codes / (8 * step) * 8 * step : 0;
    if (together > 0) {
      for (std::size_t at = 0; at < n; at += together) {
        use(at, std::min(together, n - at), step, at / step);
      }
      return;
    }
    for (std::size_t g = 0; g < groups_; ++g) {
      const std::size_t end = std::min((g + 1) * step, n);
      for (std::size_t at = g * step; at < end;) {
        // Up to the next multiple of the buffer's length, so that only the ends are ragged.
        const std::size_t count = std::min(most_codes - at % most_codes, end - at);
        use(at, count, count, g);
        at += count;
      }
    }
  }

  void encode_run(const float* x, std::size_t n, std::size_t step, std::size_t index,
                  code_type* codes) {
    if constexpr (codes_follow_scales<Spec, Rule>) {
      codec_.encode(x, n, step, scales_ + index, offsets_ + index, ranges_ + index, codes);
    } else {
      for (std::size_t i = 0; i < n; ++i) {
        const fitted_scale& fitted = fitted_[index + i / step];
        codes[i] = encode_fitted<Spec>(rule_, x[i], fitted);
      }
    }
  }

  /// Stores a run of codes, of which the ends may lie within bytes.
  void store_run(quantized_matrix<Spec>& q, std::size_t r, std::size_t first, std::size_t count) {
    std::size_t i = 0;
    for (; i < count && (first + i) % 8 != 0; ++i) q.set_code(r, first + i, codes_[i]);
    codec_.pack(codes_ + i, count - i, q.codes().at(r, first + i));
  }

  const Rule& rule_;
  std::size_t groups_ = 0;
  codec<element, zero_type> codec_ = best_codec<element, zero_type>();
  codec<scale_format, no_zero> scale_codec_ = best_codec<scale_format>();
  codec<zero_format, no_zero> zero_codec_ = best_codec<zero_format>();
  value_range ranges_[most_groups];
  fitted_scale fitted_[codes_follow_scales<Spec, Rule> ? 1 : most_groups];
  float scales_[most_groups];
  float offsets_[most_groups];
  typename scale_format::storage_type scale_codes_[most_groups];
  typename zero_format::storage_type zero_codes_[most_groups];
  code_type codes_[most_codes];
};

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
