// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Tensor specs with names: aliases only.

#include "qompose/formats/fp16.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/granularity/per_group.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// int8, one float scale per output channel: 8 bits (and 32 a row).
using w8_channel = quant<int8, per_channel>;
/// int4, one half scale per 32 weights: 4.5 bits.
using w4_g32 = quant<int4, per_group<32>, scale<fp16>>;
/// int4, one half scale per 64 weights: 4.25 bits.
using w4_g64 = quant<int4, per_group<64>, scale<fp16>>;
/// int4, one half scale per 128 weights: 4.125 bits.
using w4_g128 = quant<int4, per_group<128>, scale<fp16>>;
/// uint4, half scale and half minimum per 32 weights: 5 bits, the layout of GGUF's Q4_1.
using w4_minimum_g32 = quant<uint4, per_group<32>, scale<fp16>, minimum<fp16>>;
/// int8, one float scale per token: activations for the integer kernels.
using a8_token = quant<int8, per_token>;

}  // namespace qompose
