// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One scale per row of activations.

#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/granularity/granularity.hpp"

namespace qompose {

/// One scale per token: a row of X [n_tokens, in_features].
struct per_token {
  static constexpr std::string_view name = "per_token";

  QOMPOSE_INLINE static constexpr std::size_t group_rows(std::size_t) noexcept { return 1; }
  QOMPOSE_INLINE static constexpr std::size_t group_cols(std::size_t cols) noexcept { return cols; }
};

static_assert(granularity<per_token>);

}  // namespace qompose
