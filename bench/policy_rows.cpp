// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Every number format and granularity, quantized and dequantized: a row for each policy.
///
/// A new policy takes one row here. A test checks that each header of these slots is named.

#include "qompose/formats/approximate.hpp"
#include "qompose/formats/bf16_truncated.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "quantize/checked_rows.hpp"

namespace {

namespace qp = qompose;

/// Rows of 4096 numbers in L1.
template <class Spec>
void row(const char* name) {
  qompose_bench::register_rows<Spec>(name, 1, 4096);
}
/// 64 MiB of numbers, as a layer's weights.
template <class Spec>
void large_row(const char* name) {
  qompose_bench::register_rows<Spec>(name, 4096, 4096);
}

[[maybe_unused]] const bool registered = [] {
  // Number formats.
  row<qp::fp32>("fp32");
  row<qp::fp16>("fp16");
  row<qp::bf16>("bf16");
  row<qp::bf16_truncated>("bf16_truncated");
  row<qp::quant<qp::int8, qp::per_token>>("int8");
  row<qp::quant<qp::int_n<6>, qp::per_channel>>("int6");
  row<qp::quant<qp::int4, qp::per_group<128>, qp::scale<qp::fp16>>>("int4_g128");
  row<qp::w3_g32>("int3_g32");
  row<qp::w2_g64>("int2_g64");
  row<qp::quant<qp::uint4, qp::per_group<128>, qp::scale<qp::fp16>, qp::zero<qp::uint4>>>(
      "uint4_zero_g128");
  row<qp::quant<qp::uint_n<8>, qp::per_channel, qp::scale<qp::fp32>, qp::zero<qp::uint8>>>("uint8");
  row<qp::mxint8>("fixed_point");
  row<qp::fp8_token>("fp8_e4m3");
  row<qp::fp8_e5m2_tensor>("fp8_e5m2");
  row<qp::mxfp6_e2m3>("fp6_e2m3");
  row<qp::mxfp6_e3m2>("fp6_e3m2");
  row<qp::mxfp4>("fp4_e2m1, scales e8m0");
  row<qp::quant<qp::minifloat<4, 3, qp::special_values::infinity_and_nan>, qp::per_channel>>(
      "minifloat");
  row<qp::nf4_g64>("nf4");
  row<qp::quant<qp::approximate<qp::nf4>, qp::per_group<64>>>("nf4, approximate");
  row<qp::ternary_channel>("ternary");
  row<qp::binary_channel>("binary");
  row<qp::codebook4>("codebook");

  // Granularities.
  row<qp::quant<qp::int8, qp::per_tensor>>("per_tensor");
  row<qp::w8_channel>("per_channel");
  row<qp::a8_token>("per_token");
  row<qp::q4_0>("per_group");
  row<qp::quant<qp::int8, qp::per_block<4, 64>>>("per_block");

  // Scales and minima of more than one level.
  row<qp::q4_1>("q4_1");
  row<qp::nvfp4>("nvfp4");
  row<qp::q4_k_like>("q4_k_like");
  row<qp::w4_progressive>("w4_progressive");

  large_row<qp::a8_token>("int8");
  large_row<qp::q4_0>("q4_0");
  large_row<qp::q4_1>("q4_1");
  large_row<qp::mxfp4>("mxfp4");
  large_row<qp::fp8_e4m3_channel>("fp8_e4m3");
  large_row<qp::fp16>("fp16");
  return true;
}();

}  // namespace
