// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief All that a cache type says of its keys, or of its values.

#include <cstddef>

#include "qompose/cache/cache_parts.hpp"

namespace qompose::detail {

/// One side of a cache, for the kernels.
/// @tparam Spec        how tokens are stored
/// @tparam Transform   folded into tokens when they are stored
/// @tparam BeforeRope  whether keys are rotated when they are read
/// @tparam KeepsExact  whether some tokens are kept exactly
/// @tparam Outliers    elements of each vector that are kept apart
template <class Spec, class Transform, bool BeforeRope, bool KeepsExact, std::size_t Outliers>
struct cache_side {
  using spec = Spec;
  using exact = exact_format<Spec>;
  using transform = Transform;
  static constexpr bool before_rope = BeforeRope;
  static constexpr std::size_t outliers = Outliers;
  /// Whether tokens may lie in blocks of another format than the spec's.
  static constexpr bool has_exact = KeepsExact && !std::is_same_v<Spec, exact>;
};

}  // namespace qompose::detail
