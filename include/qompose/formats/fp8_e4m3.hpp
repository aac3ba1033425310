// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief 8-bit float with 4 exponent and 3 mantissa bits (OCP E4M3, finite and NaN).

#include "qompose/formats/minifloat.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// OCP FP8 E4M3: bias 7, no infinities, S.1111.111 is NaN, so the largest magnitude is 448;
/// subnormals are the multiples of 2^-9 below 2^-6. ml_dtypes calls it float8_e4m3fn.
///
/// @par Why saturate
/// An absmax scale maps the peak to 448, so a value past it is rounding noise; clipping costs no
/// more than that, while one NaN would poison the whole dot product.
///
/// @par Source
/// OCP 8-bit Floating Point Specification (OFP8), revision 1.0, 2023;
/// Micikevicius et al., "FP8 Formats for Deep Learning", 2022, arXiv:2209.05433.
using fp8_e4m3 = minifloat<4, 3, special_values::nan>;

static_assert(number_format<fp8_e4m3>);
static_assert(fp8_e4m3::decode(0x7e) == 448.0f && fp8_e4m3::max_finite == 448.0f);
static_assert(fp8_e4m3::encode(1.0f) == 0x38, "1.0 has exponent field 7, mantissa 0");
static_assert(fp8_e4m3::encode(0x3p-10f) == 0x02, "between two subnormals the even one");

}  // namespace qompose
