// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Eviction policy: the first tokens and the newest stay.

#include <cstddef>

namespace qompose {

/// A query sees the first S tokens of the sequence and the last W, its own included; those between
/// are dropped when their room is needed. With keys stored `before_rope` positions count within
/// what is seen, so that a sequence may grow without end: a query stands at S + W - 1 at most.
///
/// @tparam S  tokens kept for ever, stored exactly
/// @tparam W  tokens of the window
/// @par Source
/// Xiao et al., "StreamingLLM", ICLR 2024, arXiv:2309.17453, section 3.2. There a batch of tokens
/// makes room before it is appended; here each token has its own window, so that results do not
/// depend on how tokens are batched.
template <std::size_t S, std::size_t W>
struct sinks_and_window {
  static_assert(W > 0,
                "qompose: sinks_and_window: a window of 0 tokens does not hold the query's own; "
                "write sinks_and_window<4, 1024>");
  static constexpr std::size_t sinks = S;
  static constexpr std::size_t tokens = W;
};

}  // namespace qompose
