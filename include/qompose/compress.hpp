// SPDX-License-Identifier: Apache-2.0
// No #pragma once: a translation unit with a foreach_target loop of its own includes this once per
// target.

/// @file
/// @brief Everything: layers, models, the offline world.

#include "qompose/model.hpp"
#include "qompose/offline.hpp"

#if HWY_ONCE
#include "qompose/compress/balance_inputs.hpp"
#include "qompose/compress/calibrated.hpp"
#include "qompose/compress/input_moments.hpp"
#endif
