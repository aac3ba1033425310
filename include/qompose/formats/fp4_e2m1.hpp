// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief 4-bit float with 2 exponent bits and 1 mantissa bit (OCP MX).

#include "qompose/formats/minifloat.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// OCP FP4 E2M1: the magnitudes 0, 0.5, 1, 1.5, 2, 3, 4, 6 with a sign, every code finite.
///
/// @par Source
/// OCP Microscaling Formats (MX) Specification, version 1.0, 2023; arXiv:2310.10537.
using fp4_e2m1 = minifloat<2, 1>;

static_assert(number_format<fp4_e2m1>);
static_assert(fp4_e2m1::decode(0x7) == 6.0f && fp4_e2m1::decode(0x9) == -0.5f);
static_assert(fp4_e2m1::encode(5.0f) == 0x6, "ties go to the even code");

}  // namespace qompose
