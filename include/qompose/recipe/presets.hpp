// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Recipes with names: aliases only. wXaY: X bits a weight, Y bits an activation.

#include "qompose/formats/bf16.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/recipe.hpp"
#include "qompose/transforms/block_hadamard.hpp"

namespace qompose {

/// bfloat16 weights, float activations.
using w16a32 = recipe<weight<bf16>>;
/// int8 per channel, float activations.
using w8a32 = recipe<weight<w8_channel>>;
/// int8 per channel, int8 per token.
using w8a8 = recipe<weight<w8_channel>, activation<a8_token>>;
/// int8 per channel, int8 with one scale for all activations, found beforehand and stored.
using w8a8_static = recipe<weight<w8_channel>, activation<quant<int8, per_tensor>, calibrated>>;
/// w8a8, both rotated in blocks of 64.
using w8a8_hadamard =
    recipe<weight<w8_channel>, activation<a8_token>, transform<block_hadamard<64>>>;
/// int4 in groups of 32, float activations.
using w4a32_g32 = recipe<weight<w4_g32>>;
/// int4 in groups of 32, int8 per token.
using w4a8_g32 = recipe<weight<w4_g32>, activation<a8_token>>;
/// int4 in groups of 128, int8 per token.
using w4a8_g128 = recipe<weight<w4_g128>, activation<a8_token>>;
/// uint4 with a minimum, in groups of 32, int8 per token.
using w4a8_minimum_g32 = recipe<weight<w4_minimum_g32>, activation<a8_token>>;
/// int4 in groups of 32, int8 per token, both rotated in blocks of 64.
using w4a8_g32_hadamard =
    recipe<weight<w4_g32>, activation<a8_token>, transform<block_hadamard<64>>>;
/// Signs with a scale a row, float activations: a binary-weight network.
using w1a32 = recipe<weight<binary_channel>>;
/// Signs on both sides, with a scale a row and a token: XNOR-Net.
using w1a1 = recipe<weight<binary_channel>, activation<quant<binary, per_token>>>;

}  // namespace qompose
