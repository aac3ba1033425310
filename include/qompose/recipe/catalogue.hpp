// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Tensor specs with names: aliases only. `catalogue_rows.hpp` says where each comes from.

#include <cstddef>

#include "qompose/formats/binary.hpp"
#include "qompose/formats/codebook.hpp"
#include "qompose/formats/e8m0.hpp"
#include "qompose/formats/fixed_point.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp4_e2m1.hpp"
#include "qompose/formats/fp6_e2m3.hpp"
#include "qompose/formats/fp6_e3m2.hpp"
#include "qompose/formats/fp8_e4m3.hpp"
#include "qompose/formats/fp8_e5m2.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/formats/nf4.hpp"
#include "qompose/formats/ternary.hpp"
#include "qompose/granularity/per_block.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/granularity/per_group.hpp"
#include "qompose/granularity/per_tensor.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/recipe/progressive.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// @name Integer weights, symmetric
/// `w<bits>_channel` has one float scale per output channel, `w<bits>_g<N>` a half per N weights.
/// @{
using w8_channel = quant<int8, per_channel>;
using w8_g32 = quant<int8, per_group<32>, scale<fp16>>;
using w8_g64 = quant<int8, per_group<64>, scale<fp16>>;
using w8_g128 = quant<int8, per_group<128>, scale<fp16>>;
using w4_channel = quant<int4, per_channel>;
using w4_g32 = quant<int4, per_group<32>, scale<fp16>>;
using w4_g64 = quant<int4, per_group<64>, scale<fp16>>;
using w4_g128 = quant<int4, per_group<128>, scale<fp16>>;
using w3_channel = quant<int3, per_channel>;
using w3_g32 = quant<int3, per_group<32>, scale<fp16>>;
using w3_g64 = quant<int3, per_group<64>, scale<fp16>>;
using w3_g128 = quant<int3, per_group<128>, scale<fp16>>;
using w2_channel = quant<int2, per_channel>;
using w2_g32 = quant<int2, per_group<32>, scale<fp16>>;
using w2_g64 = quant<int2, per_group<64>, scale<fp16>>;
using w2_g128 = quant<int2, per_group<128>, scale<fp16>>;
/// @}

/// @name Integer weights with a zero point or minimum
/// @{
using w4_minimum_g32 = quant<uint4, per_group<32>, scale<fp16>, minimum<fp16>>;
using w4_zero_g128 = quant<uint4, per_group<128>, scale<fp16>, zero<uint4>>;
using w3_zero_g128 = quant<uint3, per_group<128>, scale<fp16>, zero<uint3>>;
using w2_zero_g64 = quant<uint2, per_group<64>, scale<fp16>, zero<uint2>>;
/// @}

/// @name Activations
/// @{
using a8_token = quant<int8, per_token>;
using a8_g128 = quant<int8, per_group<128>>;
using fp8_token = quant<fp8_e4m3, per_token>;
/// @}

/// @name FP8 weights
/// @{
using fp8_e4m3_channel = quant<fp8_e4m3, per_channel>;
using fp8_e4m3_tensor = quant<fp8_e4m3, per_tensor>;
using fp8_e4m3_block = quant<fp8_e4m3, per_block<128, 128>>;
using fp8_e5m2_tensor = quant<fp8_e5m2, per_tensor>;
/// @}

/// @name OCP Microscaling
/// @{
using mxfp8_e4m3 = quant<fp8_e4m3, per_group<32>, scale<e8m0>>;
using mxfp8_e5m2 = quant<fp8_e5m2, per_group<32>, scale<e8m0>>;
using mxfp6_e3m2 = quant<fp6_e3m2, per_group<32>, scale<e8m0>>;
using mxfp6_e2m3 = quant<fp6_e2m3, per_group<32>, scale<e8m0>>;
using mxfp4 = quant<fp4_e2m1, per_group<32>, scale<e8m0>>;
using mxint8 = quant<fixed_point<8, 6>, per_group<32>, scale<e8m0>>;
/// @}

/// @name Two levels of scales
/// @{
using nvfp4 = quant<fp4_e2m1, per_group<16>, scale<quant<fp8_e4m3, per_tensor>>>;
/// @tparam V     elements of a vector
/// @tparam Bits  of a vector's scale
template <std::size_t V, int Bits>
using vsq4 = quant<int4, per_group<V>, scale<quant<uint_n<Bits>, per_channel>>>;
template <std::size_t V, int Bits>
using vsq8 = quant<int8, per_group<V>, scale<quant<uint_n<Bits>, per_channel>>>;
using vsq4_v16 = vsq4<16, 4>;
using vsq4_v64 = vsq4<64, 6>;
using vsq8_v16 = vsq8<16, 4>;
using vsq8_v64 = vsq8<64, 6>;
using w4_progressive = quant<uint4, per_group<128>, scale<progressive<int8>>, zero<uint4>>;
/// Six bits a scale, eight of them to a half, as in GGUF's K types.
using six_bit_scales = quant<uint6, per_group<8>, scale<fp16>>;
using q4_k_like = quant<uint4, per_group<32>, scale<six_bit_scales>, minimum<six_bit_scales>>;
using q5_k_like = quant<uint5, per_group<32>, scale<six_bit_scales>, minimum<six_bit_scales>>;
/// @}

/// @name NormalFloat
/// @{
using nf4_g64 = quant<nf4, per_group<64>>;
using nf4_double =
    quant<nf4, per_group<64>, scale<quant<uint8, per_block<4, 64>, scale<fp32>, minimum<fp32>>>>;
/// @}

/// @name GGUF
/// The same numbers as in GGUF's blocks; @ref qompose::signed_extreme and
/// @ref qompose::absmax_ties_away make the same bytes.
/// @{
using q4_0 = quant<int4, per_group<32>, scale<fp16>>;
using q4_1 = quant<uint4, per_group<32>, scale<fp16>, minimum<fp16>>;
using q5_0 = quant<int5, per_group<32>, scale<fp16>>;
using q5_1 = quant<uint5, per_group<32>, scale<fp16>, minimum<fp16>>;
using q8_0 = quant<int8, per_group<32>, scale<fp16>>;
/// @}

/// @name One and two bits
/// @{
using ternary_channel = quant<ternary, per_channel>;
using ternary_tensor = quant<ternary, per_tensor>;
using binary_channel = quant<binary, per_channel>;
using binary_g128 = quant<binary, per_group<128>, scale<fp16>>;
/// @}

/// @name Codebooks
/// @{
using codebook4 = quant<codebook<16>, per_channel>;
using codebook3 = quant<codebook<8>, per_channel>;
using codebook4_shared =
    quant<codebook<16, fp16, codebook_scope::tensor>, per_group<64>, scale<fp16>>;
/// @}

}  // namespace qompose
