// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One factor for each input channel, which moves size from activations to weights or back.

#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/transforms/transform.hpp"

namespace qompose {

/// Multiplies channel c of the activations by factor c and divides the weights' column c by it.
///
/// The factors come from the caller, as the last argument of `compress`; 1 / s in the notation of
/// the papers, where activations are divided by s.
///
/// @par Cost  one product an element; four bytes a channel kept
/// @par Source
/// Xiao et al., "SmoothQuant", ICML 2023, arXiv:2211.10438, equation 3; Lin et al., "AWQ", MLSys
/// 2024, arXiv:2306.00978, equation 2.
struct channel_scale {
  static constexpr std::string_view name = "channel_scale";
  static constexpr bool is_identity = false;

  /// One factor a channel.
  struct data {
    aligned_buffer<float> factors;

    QOMPOSE_INLINE data() noexcept = default;
    /// @param values  [in_features], none zero, they and their inverses finite
    /// @throws qompose::value_error naming the first channel where that is not so
    QOMPOSE_INLINE explicit data(std::span<const float> values)
        : factors(values.size(), uninitialized{}) {
      for (std::size_t c = 0; c < values.size(); ++c) {
        if (std::isfinite(values[c]) && std::isfinite(1.0f / values[c])) continue;
        throw value_error("channel_scale: factor of channel " + std::to_string(c) + ": " +
                          std::to_string(values[c]) + ", expected one with a finite inverse");
      }
      if (!values.empty()) std::memcpy(factors.data(), values.data(), values.size_bytes());
    }

    [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
      return factors.size() * sizeof(float);
    }
  };

  /// @throws qompose::shape_error unless there are n factors
  QOMPOSE_INLINE static void require(const data& d, std::size_t n) {
    if (d.factors.size() == n) return;
    throw shape_error("channel_scale: " + std::to_string(d.factors.size()) + " factors, expected " +
                      std::to_string(n));
  }

  QOMPOSE_INLINE static void forward(const data& d, float* row, std::size_t n) noexcept {
    for (std::size_t c = 0; c < n; ++c) row[c] *= d.factors[c];
  }
  QOMPOSE_INLINE static void fold(const data& d, float* row, std::size_t n) noexcept {
    for (std::size_t c = 0; c < n; ++c) row[c] /= d.factors[c];
  }
  QOMPOSE_INLINE static void unfold(const data& d, float* row, std::size_t n) noexcept {
    forward(d, row, n);
  }

  QOMPOSE_INLINE static std::size_t stored_size(std::size_t n) noexcept { return n; }
  QOMPOSE_INLINE static void store(const data& d, std::size_t n, float* out) noexcept {
    if (n > 0) std::memcpy(out, d.factors.data(), n * sizeof(float));
  }
  QOMPOSE_INLINE static data restore(const float* stored, std::size_t n) {
    return data(std::span(stored, n));
  }
};

static_assert(transform_policy<channel_scale>);

}  // namespace qompose
