// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Eviction policy: the newest tokens stay.

#include <cstddef>

namespace qompose {

/// A query sees the last W tokens, its own included; older ones are dropped when their room is
/// needed.
/// @par Source
/// Beltagy et al., "Longformer", 2020, arXiv:2004.05150, section 3.1 (sliding window).
template <std::size_t W>
struct window {
  static_assert(W > 0,
                "qompose: window: a window of 0 tokens sees nothing; write window<1024>, or "
                "keep_all");
  static constexpr std::size_t sinks = 0;
  static constexpr std::size_t tokens = W;
};

}  // namespace qompose
