// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One scale per run of N elements along a row.

#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/core/fixed_text.hpp"
#include "qompose/granularity/granularity.hpp"

namespace qompose {

/// One scale per `N` consecutive elements of a row; the last group of a row may be short.
/// @tparam N  group size, >= 1
template <std::size_t N>
struct per_group {
  static_assert(N > 0,
                "qompose: per_group: group_size is 0; use per_channel for one scale per row");

 private:
  static constexpr detail::fixed_text name_ = detail::fixed_text() + "per_group<" + N + ">";

 public:
  static constexpr std::string_view name = name_.view();
  static constexpr std::size_t group_size = N;

  QOMPOSE_INLINE static constexpr std::size_t group_rows(std::size_t) noexcept { return 1; }
  QOMPOSE_INLINE static constexpr std::size_t group_cols(std::size_t cols) noexcept {
    return cols < N ? cols : N;
  }
};

static_assert(granularity<per_group<32>>);

}  // namespace qompose
