// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The type of a token's number.

#include <cstdint>

namespace qompose {

/// Index of a token in its vocabulary, 0 .. vocab_size - 1.
using token_id = std::int32_t;

}  // namespace qompose
