// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The same work, from a unit with the compiler's default flags and from one with more.

/// Quantizes a small matrix, runs a layer and returns a sum over its output.
double run_plain();
double run_newer();
