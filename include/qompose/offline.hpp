// SPDX-License-Identifier: Apache-2.0
// No #pragma once: a translation unit with a foreach_target loop of its own includes this once per
// target.

/// @file
/// @brief Layers and the offline world: what layers cost, and analysis on xtensor.

#include "qompose/qompose.hpp"

#if HWY_ONCE
#include "qompose/analysis/cost.hpp"
#include "qompose/analysis/error_metrics.hpp"
#endif
