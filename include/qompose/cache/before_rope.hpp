// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Option of keys: rotary embedding when they are read.

namespace qompose {

/// Keys are cached before rotary embedding, which is applied whenever they are read: channels keep
/// their outliers in place, and positions may count from the oldest token that is kept.
///
/// @par Cost  a rotation of each key whenever it is read, shared by the queries that are read for
/// @par Source
/// Hooper et al., "KVQuant", NeurIPS 2024, arXiv:2401.18079, section 3.2.
struct before_rope {};

}  // namespace qompose
