// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief 8-bit float with 5 exponent and 2 mantissa bits (OCP E5M2).

#include "qompose/formats/minifloat.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// OCP FP8 E5M2: bias 15, infinities and NaN as in IEEE 754, largest magnitude 57344; subnormals
/// are the multiples of 2^-16 below 2^-14.
///
/// @par Source
/// OCP 8-bit Floating Point Specification (OFP8), revision 1.0, 2023;
/// Micikevicius et al., "FP8 Formats for Deep Learning", 2022, arXiv:2209.05433.
using fp8_e5m2 = minifloat<5, 2, special_values::infinity_and_nan>;

static_assert(number_format<fp8_e5m2>);
static_assert(fp8_e5m2::decode(0x7b) == 57344.0f && fp8_e5m2::max_finite == 57344.0f);
static_assert(fp8_e5m2::encode(1.0f) == 0x3c, "1.0 has exponent field 15, mantissa 0");

}  // namespace qompose
