// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Part of a cache: the first tokens stay exact.

#include <cstddef>

namespace qompose {

namespace detail {
struct exact_first_slot {};
}  // namespace detail

/// The first N tokens of a sequence are kept exactly, on both sides: they take most of the
/// attention of many models.
/// @par Source  Hooper et al., "KVQuant", NeurIPS 2024, arXiv:2401.18079, section 3.5
template <std::size_t N>
struct exact_first {
  using slot = detail::exact_first_slot;
  using policy = exact_first;
  static constexpr std::size_t tokens = N;
};

}  // namespace qompose
