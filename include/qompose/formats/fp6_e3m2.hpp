// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief 6-bit float with 3 exponent and 2 mantissa bits (OCP MX).

#include "qompose/formats/minifloat.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// OCP FP6 E3M2: bias 3, every code finite, largest magnitude 28; subnormals are the multiples of
/// 0.0625 below 0.25.
///
/// @par Source
/// OCP Microscaling Formats (MX) Specification, version 1.0, 2023; arXiv:2310.10537.
using fp6_e3m2 = minifloat<3, 2>;

static_assert(number_format<fp6_e3m2>);
static_assert(fp6_e3m2::decode(0x1f) == 28.0f && fp6_e3m2::max_finite == 28.0f);

}  // namespace qompose
