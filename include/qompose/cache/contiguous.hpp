// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Cache layout: one run of memory a sequence.

#include <cstddef>

namespace qompose {

/// All tokens of a sequence lie in one run of memory, reserved for the whole capacity.
struct contiguous {
  /// Tokens that lie together, where nothing else asks for another number.
  static constexpr std::size_t block_tokens = 64;
};

}  // namespace qompose
