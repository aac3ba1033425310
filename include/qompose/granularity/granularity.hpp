// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a granularity must offer.

#include <concepts>
#include <cstddef>
#include <string_view>

namespace qompose {

/// Says which elements of a [rows, cols] matrix share a scale: blocks of `group_rows(rows)` x
/// `group_cols(cols)` elements, the last of each axis possibly short.
///
/// It must not know what the scale is or how anything is stored.
template <class G>
concept granularity = requires(std::size_t n) {
  { G::group_rows(n) } noexcept -> std::same_as<std::size_t>;
  { G::group_cols(n) } noexcept -> std::same_as<std::size_t>;
  { G::name } -> std::convertible_to<std::string_view>;
};

}  // namespace qompose
