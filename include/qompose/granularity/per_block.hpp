// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief One scale per rectangle of a matrix.

#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/core/fixed_text.hpp"
#include "qompose/granularity/granularity.hpp"

namespace qompose {

/// As the width of a block: all columns.
inline constexpr std::size_t whole_rows = 0;

/// One scale per `R` rows and `C` columns; the last blocks of each axis may be short.
/// @tparam R  rows of a block, >= 1
/// @tparam C  columns of a block, or `whole_rows` for R rows with one scale, the groups of
/// ZeroQuant
/// @par Source
/// Yao et al., "ZeroQuant", NeurIPS 2022, arXiv:2206.01861, section 4.1 (groups of rows).
template <std::size_t R, std::size_t C>
struct per_block {
  static_assert(R > 0,
                "qompose: per_block: a block of 0 rows; use per_channel for one scale per row");

 private:
  static constexpr detail::fixed_text name_ =
      detail::fixed_text() + "per_block<" + R + ", " + C + ">";

 public:
  static constexpr std::string_view name = name_.view();

  QOMPOSE_INLINE static constexpr std::size_t group_rows(std::size_t rows) noexcept {
    return rows < R ? rows : R;
  }
  QOMPOSE_INLINE static constexpr std::size_t group_cols(std::size_t cols) noexcept {
    return C == whole_rows || cols < C ? cols : C;
  }
};

static_assert(granularity<per_block<4, 64>>);

}  // namespace qompose
