// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One scale for a whole tensor.

#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/granularity/granularity.hpp"

namespace qompose {

/// One scale for the whole matrix.
struct per_tensor {
  static constexpr std::string_view name = "per_tensor";

  QOMPOSE_INLINE static constexpr std::size_t group_rows(std::size_t rows) noexcept { return rows; }
  QOMPOSE_INLINE static constexpr std::size_t group_cols(std::size_t cols) noexcept { return cols; }
};

static_assert(granularity<per_tensor>);

}  // namespace qompose
