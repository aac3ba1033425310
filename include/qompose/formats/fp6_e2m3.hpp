// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief 6-bit float with 2 exponent and 3 mantissa bits (OCP MX).

#include "qompose/formats/minifloat.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// OCP FP6 E2M3: bias 1, every code finite, largest magnitude 7.5; all values are multiples of
/// 0.125.
///
/// @par Source
/// OCP Microscaling Formats (MX) Specification, version 1.0, 2023; arXiv:2310.10537.
using fp6_e2m3 = minifloat<2, 3>;

static_assert(number_format<fp6_e2m3>);
static_assert(fp6_e2m3::decode(0x1f) == 7.5f && fp6_e2m3::max_finite == 7.5f);

}  // namespace qompose
