// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rows of every product case: shapes, numbers of tokens, hot and cold.

#include "options.hpp"

namespace qompose_bench {

/// Registers `<case>/<out>x<in>/n:<tokens>`, with `/hot` and `/cold` for one token and
/// `/threads:<t>` for more than one thread.
///
/// A row refuses to time a wrong result. Then it reports, as medians over calls:
///
/// | counter    | what                                                                   |
/// |------------|------------------------------------------------------------------------|
/// | `GB/s`     | bytes of stored weights a second                                       |
/// | `GOP/s`    | operations a second, two a multiply-add                                |
/// | `of_read`  | the first over what a loop that only reads as many bytes there reaches |
/// | `of_peak`  | the second over what the dot product reaches in registers              |
/// | `of_bound` | the time that the roofline allows over the time taken                  |
/// | `bytes`    | of stored weights                                                      |
///
/// Limits are measured between the timings, as other users of a machine change them.
void register_product_rows(const row_options& options);

/// Registers `limit/...`: the limits by themselves.
void register_limit_rows(const row_options& options);

}  // namespace qompose_bench
