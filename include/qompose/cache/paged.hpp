// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Cache layout: blocks of tokens from a pool that many sequences share.

#include <cstddef>

namespace qompose {

/// Tokens lie in blocks of N, which a `block_pool` hands out one by one; each KV head has a table
/// of its blocks. Sequences that begin alike share blocks until one of them writes.
///
/// @tparam N  tokens of a block, a multiple of 16 (of 32 beside codes of an odd number of bits)
/// @par Source
/// Kwon et al., "Efficient Memory Management for Large Language Model Serving with
/// PagedAttention", SOSP 2023, arXiv:2309.06180.
template <std::size_t N>
struct paged {
  static_assert(N >= 16 && N % 16 == 0,
                "qompose: paged: the tokens of a block are no multiple of 16; write paged<16>");
  static constexpr std::size_t block_tokens = N;
};

}  // namespace qompose
