// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Signs from a seed, which make a fixed rotation behind them a random one.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/fixed_text.hpp"
#include "qompose/core/random.hpp"
#include "qompose/transforms/transform.hpp"

namespace qompose {

/// Multiplies channel c by 1 or -1: by -1 where bit c % 64 of word c / 64 of
/// `random_source(Seed)` is set. Exact, and its own inverse.
///
/// @tparam Seed  any number; files keep it as part of the type
/// @par Source
/// Ashkboos et al., "QuaRot", NeurIPS 2024, arXiv:2404.00456, section 3; Tseng et al., "QuIP#",
/// ICML 2024, arXiv:2402.04396, section 3.
template <std::size_t Seed = 1>
struct random_signs {
 private:
  static constexpr detail::fixed_text name_ = detail::fixed_text() + "random_signs<" + Seed + ">";

 public:
  static constexpr std::string_view name = name_.view();
  static constexpr bool is_identity = false;

  /// One factor a channel, 1 or -1.
  struct data {
    aligned_buffer<float> factors;

    [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
      return factors.size() * sizeof(float);
    }
  };

  /// @throws std::bad_alloc
  QOMPOSE_INLINE static data data_for(std::size_t n) {
    data made{aligned_buffer<float>(n, uninitialized{})};
    random_source source(Seed);
    std::uint64_t word = 0;
    for (std::size_t c = 0; c < n; ++c) {
      word = c % 64 == 0 ? source.bits() : word >> 1;
      made.factors[c] = (word & 1) != 0 ? -1.0f : 1.0f;
    }
    return made;
  }

  /// @throws qompose::shape_error unless there are n signs
  QOMPOSE_INLINE static void require(const data& d, std::size_t n) {
    if (d.factors.size() == n) return;
    throw shape_error("random_signs: " + std::to_string(d.factors.size()) + " signs, expected " +
                      std::to_string(n));
  }

  QOMPOSE_INLINE static void forward(const data& d, float* row, std::size_t n) noexcept {
    for (std::size_t c = 0; c < n; ++c) row[c] *= d.factors[c];
  }
  QOMPOSE_INLINE static void fold(const data& d, float* row, std::size_t n) noexcept {
    forward(d, row, n);
  }
  QOMPOSE_INLINE static void unfold(const data& d, float* row, std::size_t n) noexcept {
    forward(d, row, n);
  }
};

static_assert(transform_policy<random_signs<1>>);

}  // namespace qompose
