// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Option of keys and values: the newest tokens stay exact.

#include <cstddef>

namespace qompose {

/// The newest tokens are kept exactly, as fp16 (bf16 or fp32 where the spec is wider), and are
/// quantized when they leave.
///
/// Keys with scales per channel are quantized N tokens at a time, when that many have come; other
/// sides hold the last N tokens.
///
/// @tparam N  tokens; for keys with scales per channel a multiple of 16 (of 32 beside codes of an
///            odd number of bits)
/// @par Source  Liu et al., "KIVI", ICML 2024, arXiv:2402.02750, algorithm 1
template <std::size_t N>
struct residual {
  static_assert(N > 0, "qompose: residual: 0 tokens are none; leave the option out");
  static constexpr std::size_t tokens = N;
};

}  // namespace qompose
