// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rows of attention over every cache: decoding and reading a prompt.

#include "options.hpp"

namespace qompose_bench {

/// Registers `<case>/decode_<queries>x<tokens>` and, from 32 queries on, `<case>/prefill_...`, with
/// `/threads:<t>` for more than one thread.
///
/// Every row has the 32 query heads, 8 KV heads and 128 elements a head of attention/work.hpp. It
/// refuses to time a wrong result. Decoding goes through as many caches as exceed the last cache,
/// as a model goes through its layers; a prompt is read over one. It reports what rows of layers do
/// (linear/rows.hpp), where the bytes are those of the cache and operations those of both products
/// over the tokens that each query sees.
void register_attention_rows(const row_options& options);

}  // namespace qompose_bench
