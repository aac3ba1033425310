// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rows that compare composed layers with layers written by hand.

#include "options.hpp"

namespace qompose_bench {

/// Registers `zero_overhead/<name>/<out>x<in>/n:1/hot`, `/n:1/cold` and `/n:128`, for the shapes of
/// the options rounded up to what the hand-written layers take.
///
/// A row refuses to time a wrong result of either side. Then both are called in turn, and it
/// reports as medians
///
/// | counter                        | what                                                      |
/// |--------------------------------|-----------------------------------------------------------|
/// | `ratio`                        | time of the composed layer over that of the hand-written  |
/// | `GB/s`, `GOP/s`                | of the composed layer, as in rows of layers               |
/// | `hand_GB/s`, `hand_GOP/s`      | of the hand-written one                                   |
/// | `of_read`, `of_peak`           | the composed layer's shares of the limits                 |
/// | `hand_of_read`, `hand_of_peak` | the hand-written layer's                                  |
void register_zero_overhead_rows(const row_options& options);

}  // namespace qompose_bench
