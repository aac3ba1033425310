// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The transform slot's default: rows stay as they are.

#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/transforms/transform.hpp"

namespace qompose {

/// The identity; costs nothing.
struct no_transform {
  struct data {};
  static constexpr std::string_view name = "no_transform";
  static constexpr bool is_identity = true;

  QOMPOSE_INLINE static void forward(const data&, float*, std::size_t) noexcept {}
  QOMPOSE_INLINE static void fold(const data&, float*, std::size_t) noexcept {}
  QOMPOSE_INLINE static void unfold(const data&, float*, std::size_t) noexcept {}
};

static_assert(transform_policy<no_transform>);

}  // namespace qompose
