// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One scale per row of a weight matrix.

#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/granularity/granularity.hpp"

namespace qompose {

/// One scale per output channel: a row of W [out_features, in_features].
struct per_channel {
  static constexpr std::string_view name = "per_channel";

  QOMPOSE_INLINE static constexpr std::size_t group_rows(std::size_t) noexcept { return 1; }
  QOMPOSE_INLINE static constexpr std::size_t group_cols(std::size_t cols) noexcept { return cols; }
};

static_assert(granularity<per_channel>);

}  // namespace qompose
