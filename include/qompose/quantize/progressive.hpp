// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Weights in two levels of integers: int8 by row, then four bits by group.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/executor.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/quantize/codec.hpp"
#include "qompose/recipe/progressive.hpp"
#include "qompose/rules/default_rule.hpp"
#include "qompose/rules/progressive_absmax.hpp"
#include "qompose/tensor/quantized_matrix.hpp"

namespace qompose::detail {

/// The largest magnitude of the inner integers: with 15 steps a group, no (code - zero) * scale
/// leaves int8.
inline constexpr float progressive_range = 119.0f;

inline namespace QOMPOSE_ISA {

/// One row: float scale, int8 image, then a scale and a zero point a group.
template <quant_spec Spec, class Codec>
bool quantize_progressive_row(quantized_matrix<Spec>& q, std::size_t r, const float* row,
                              bool round_up, const Codec& outer) {
  using element = typename Spec::element;
  constexpr int top = element::max_code;
  const std::size_t cols = q.cols();
  value_range range;
  outer.ranges(row, cols, cols, true, &range);
  if (range.highest != range.highest) return false;

  const float scale = range.highest > 0.0f ? range.highest / progressive_range : 1.0f;
  q.scales().scales().set_code(r, 0, fp32::encode(scale));
  aligned_buffer<std::int8_t> image(cols);
  outer.encode(row, cols, cols, &scale, nullptr, &range, image.data());

  aligned_buffer<typename element::storage_type> codes(cols);
  for (std::size_t first = 0; first < cols; first += q.group_cols()) {
    const std::size_t last = std::min(first + q.group_cols(), cols);
    int lowest = 0;
    int highest = 0;
    for (std::size_t c = first; c < last; ++c) {
      lowest = std::min(lowest, static_cast<int>(image[c]));
      highest = std::max(highest, static_cast<int>(image[c]));
    }
    const float exact = static_cast<float>(highest - lowest) / static_cast<float>(top);
    const int inner = std::max(1, round_to_code(round_up ? std::ceil(exact) : exact, 0.0f, 255.0f));
    const auto divisor = static_cast<float>(inner);
    const int zero =
        round_to_code(static_cast<float>(-lowest) / divisor, 0.0f, element::max_finite);
    const std::size_t g = first / q.group_cols();
    q.scales().set_code(r, g, static_cast<std::uint8_t>(inner));
    q.zeros().set_code(r, g, Spec::zero_type::format::encode(static_cast<float>(zero)));
    for (std::size_t c = first; c < last; ++c) {
      const int steps = round_to_code(static_cast<float>(image[c]) / divisor, -256.0f, 256.0f);
      codes[c] = static_cast<typename element::storage_type>(std::clamp(steps + zero, 0, top));
    }
  }
  q.codes().set_row(r, cols, codes.data());
  return true;
}

/// Fills `q`; returns false where a value is NaN or infinite.
template <quant_spec Spec, class Rule, executor Executor>
bool quantize_progressive(quantized_matrix<Spec>& q, matrix_view<const float> values,
                          const Rule& rule, const Executor& run) {
  static_assert(std::is_same_v<Rule, progressive_absmax> || std::is_same_v<Rule, default_rule> ||
                    std::is_same_v<Rule, absmax>,
                "qompose: quantize: progressive scales have a rule of their own; use "
                "progressive_absmax{} or leave the rule out");
  bool round_up = false;
  if constexpr (std::is_same_v<Rule, progressive_absmax>) round_up = rule.round_up;
  (void)rule;
  const auto outer = best_codec<int_n<8, code_range::symmetric>>();
  std::atomic<bool> finite{true};
  run.for_each(values.rows(), [&](std::size_t r) {
    if (!quantize_progressive_row(q, r, values.row(r), round_up, outer)) finite.store(false);
  });
  return finite.load();
}

/// Throws unless every weight of a progressive spec is an integer of its image times the row's
/// scale.
/// @throws qompose::value_error naming the first that is not
template <tensor_spec Spec>
void require_image(const char* what, const quantized_matrix<Spec>& q, std::size_t first_row = 0) {
  if constexpr (quant_spec<Spec>) {
    using scale_format = typename Spec::scale_type::format;
    if constexpr (is_progressive<scale_format>) {
      using image = typename scale_format::image;
      for (std::size_t r = 0; r < q.rows(); ++r) {
        for (std::size_t c = 0; c < q.cols(); ++c) {
          const std::size_t g = c / q.group_cols();
          const int value =
              (static_cast<int>(q.code(r, c)) - static_cast<int>(q.zeros().code(r, g))) *
              static_cast<int>(q.scale_code(r, g));
          if (value >= image::min_code && value <= image::max_code) continue;
          throw value_error(std::string(what) + ": element (" + std::to_string(first_row + r) +
                            ", " + std::to_string(c) + "): (code - zero_point) * inner scale is " +
                            std::to_string(value) + ", expected " +
                            std::to_string(image::min_code) + " .. " +
                            std::to_string(image::max_code));
        }
      }
    }
  }
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
