// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Cache layout: one run of memory a sequence.

namespace qompose {

/// All tokens of a sequence lie in one run of memory, reserved for the whole context.
struct contiguous {};

}  // namespace qompose
