// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Every policy of the library, a list per slot, for `TEMPLATE_LIST_TEST_CASE`.
///
/// A new policy takes one row here. Test projects check that each header of a slot is named.

#include <cstddef>
#include <tuple>

#include "qompose/cache/cache_parts.hpp"
#include "qompose/cache/contiguous.hpp"
#include "qompose/cache/keep_all.hpp"
#include "qompose/cache/paged.hpp"
#include "qompose/cache/sinks_and_window.hpp"
#include "qompose/cache/window.hpp"
#include "qompose/formats/approximate.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/bf16_truncated.hpp"
#include "qompose/formats/binary.hpp"
#include "qompose/formats/codebook.hpp"
#include "qompose/formats/e8m0.hpp"
#include "qompose/formats/fixed_point.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/fp4_e2m1.hpp"
#include "qompose/formats/fp6_e2m3.hpp"
#include "qompose/formats/fp6_e3m2.hpp"
#include "qompose/formats/fp8_e4m3.hpp"
#include "qompose/formats/fp8_e5m2.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/formats/minifloat.hpp"
#include "qompose/formats/nf4.hpp"
#include "qompose/formats/ternary.hpp"
#include "qompose/granularity/per_block.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/granularity/per_group.hpp"
#include "qompose/granularity/per_tensor.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/low_rank/no_low_rank.hpp"
#include "qompose/outliers/no_outliers.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/presets.hpp"
#include "qompose/sparsity/dense.hpp"
#include "qompose/transforms/block_hadamard.hpp"
#include "qompose/transforms/channel_scale.hpp"
#include "qompose/transforms/hadamard.hpp"
#include "qompose/transforms/no_transform.hpp"
#include "qompose/transforms/random_signs.hpp"
#include "qompose/transforms/then.hpp"

namespace qompose_tests {

namespace qp = qompose;

/// A format and the error of normal numbers stored with it, one absmax scale per 64 of them: root
/// mean square of the error over that of the numbers, at most `PartsPerMillion` and, so that no
/// bound is slack, at least 2/3 of it.
///
/// The peak of 64 normal numbers is about 2.4, so `bits` bits mean steps of 2.4 / max_code and an
/// error of step / sqrt(12); floats err by 2^-mantissa_bits / sqrt(24) or so.
template <class Format, int PartsPerMillion>
struct format_row {
  using format = Format;
  static constexpr double bound = 1e-6 * PartsPerMillion;
};

/// A float of one's own beside OCP's.
using fp8_e3m4_ieee = qp::minifloat<3, 4, qp::special_values::infinity_and_nan>;

using formats =
    std::tuple<format_row<qp::fp32, 0>, format_row<qp::fp16, 250>, format_row<qp::bf16, 2000>,
               format_row<qp::bf16_truncated, 4000>, format_row<qp::int_n<2>, 880'000>,
               format_row<qp::int_n<3>, 280'000>, format_row<qp::int4, 120'000>,
               format_row<qp::int_n<5>, 55'000>, format_row<qp::int_n<6>, 27'000>,
               format_row<qp::int_n<7>, 13'000>, format_row<qp::int8, 6'500>,
               format_row<qp::fixed_point<4, 2>, 120'000>, format_row<qp::fixed_point<8, 6>, 6'500>,
               format_row<qp::fp4_e2m1, 115'000>, format_row<qp::fp6_e2m3, 28'000>,
               format_row<qp::fp6_e3m2, 56'000>, format_row<fp8_e3m4_ieee, 13'500>,
               format_row<qp::fp8_e4m3, 28'000>, format_row<qp::fp8_e5m2, 56'000>,
               format_row<qp::nf4, 100'000>, format_row<qp::approximate<qp::nf4>, 100'000>>;

/// Unsigned formats, stored with a minimum.
using unsigned_formats =
    std::tuple<format_row<qp::uint_n<2>, 520'000>, format_row<qp::uint_n<3>, 230'000>,
               format_row<qp::uint4, 105'000>, format_row<qp::uint_n<5>, 51'000>,
               format_row<qp::uint_n<6>, 25'000>, format_row<qp::uint_n<7>, 12'500>,
               format_row<qp::uint8, 6'200>>;

/// Formats of signs, whose scale is a mean of magnitudes rather than the largest one.
using sign_formats = std::tuple<qp::ternary, qp::binary>;

/// Formats that only scales take.
using scale_formats = std::tuple<qp::e8m0>;

/// Formats whose values are found when a tensor is stored.
using learned_formats =
    std::tuple<qp::codebook<2>, qp::codebook<3>, qp::codebook<4>, qp::codebook<5>, qp::codebook<16>,
               qp::codebook<17>, qp::codebook<100>, qp::codebook<256>,
               qp::codebook<16, qp::fp16, qp::codebook_scope::tensor>>;

/// The group size 7 divides hardly anything.
using granularities =
    std::tuple<qp::per_tensor, qp::per_channel, qp::per_token, qp::per_group<7>, qp::per_group<32>,
               qp::per_group<1000>, qp::per_block<3, 32>, qp::per_block<2, qp::whole_rows>>;

using transforms = std::tuple<qp::no_transform, qp::block_hadamard<2>, qp::block_hadamard<64>,
                              qp::block_hadamard<512>, qp::hadamard, qp::channel_scale,
                              qp::random_signs<1>, qp::then<qp::random_signs<2>, qp::hadamard>,
                              qp::then<qp::channel_scale, qp::block_hadamard<64>>>;

using sparsities = std::tuple<qp::dense>;
using low_ranks = std::tuple<qp::no_low_rank>;
using outlier_policies = std::tuple<qp::no_outliers, qp::outlier_elements<2>>;
using cache_layouts = std::tuple<qp::contiguous, qp::paged<16>, qp::paged<96>>;
using evictions = std::tuple<qp::keep_all, qp::window<40>, qp::sinks_and_window<4, 24>>;
/// What the options of caches ask for, in caches that tests look into one by one.
using cache_options = std::tuple<qp::before_rope, qp::residual<32>, qp::exact_first<1>>;

/// Tensor specs that between them meet every branch of storing and packing.
using tensor_specs = std::tuple<
    qp::fp32, qp::fp16, qp::bf16, qp::int8, qp::quant<qp::int8, qp::per_tensor>, qp::w8_channel,
    qp::w4_g32, qp::w4_minimum_g32, qp::quant<qp::int4, qp::per_group<7>, qp::scale<qp::bf16>>,
    qp::quant<qp::int_n<2>, qp::per_channel>, qp::quant<qp::int_n<3>, qp::per_group<1000>>,
    qp::quant<qp::int_n<6>, qp::per_group<16>, qp::scale<qp::fp16>>,
    qp::quant<qp::uint4, qp::per_group<32>, qp::scale<qp::fp16>, qp::zero<qp::uint4>>,
    qp::quant<qp::uint8, qp::per_tensor, qp::scale<qp::fp32>, qp::zero<qp::uint8>>,
    qp::quant<qp::uint8, qp::per_group<24>, qp::scale<qp::fp32>, qp::minimum<qp::bf16>>,
    qp::quant<qp::uint4, qp::per_group<32>, qp::scale<qp::six_bit_scales>, qp::minimum<qp::fp16>>,
    qp::quant<qp::int4, qp::per_group<16>, qp::scale<qp::quant<qp::uint8, qp::per_channel>>>,
    qp::quant<qp::int4, qp::per_group<16>, qp::scale<qp::quant<qp::uint4, qp::per_tensor>>>,
    qp::mxfp4, qp::mxint8, qp::nvfp4, qp::nf4_double, qp::q4_k_like, qp::w4_progressive,
    qp::fp8_e4m3, qp::quant<qp::fp6_e3m2, qp::per_block<3, 20>, qp::scale<qp::bf16>>,
    qp::ternary_channel, qp::binary_g128, qp::quant<qp::codebook<5>, qp::per_group<24>>,
    qp::codebook4_shared>;

/// Recipes with names.
using recipes =
    std::tuple<qp::recipe<>, qp::w16a32, qp::w8a32, qp::w8a8, qp::w4a32_g32, qp::w4a8_g32,
               qp::w4a8_g128, qp::w4a8_minimum_g32, qp::w4a8_g32_hadamard, qp::w1a1>;

/// How one side of a cache is stored, and the largest relative error of one element: half a step.
/// Steps of the 8-bit row are relative to the largest element of its token and head.
template <class Spec, int PartsPerMillion>
struct cache_row {
  using spec = Spec;
  static constexpr double bound = 1e-6 * PartsPerMillion;
};
using cache_specs = std::tuple<cache_row<qp::fp32, 0>, cache_row<qp::fp16, 489>,
                               cache_row<qp::bf16, 3907>, cache_row<qp::a8_token, 3938>>;

}  // namespace qompose_tests
