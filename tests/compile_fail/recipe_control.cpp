// SPDX-License-Identifier: Apache-2.0
// What the cases beside it break, one part at a time.

#include "qompose/types.hpp"

namespace qp = qompose;

using scales = qp::quant<qp::uint8, qp::per_channel>;
using w4 = qp::quant<qp::uint4, qp::per_group<32>, qp::scale<scales>, qp::minimum<qp::fp16>>;
using a8 = qp::quant<qp::int8, qp::per_token>;
using right = qp::recipe<qp::transform<qp::block_hadamard<64>>, qp::activation<a8>, qp::weight<w4>>;

static_assert(qp::recipe_type<qp::as_recipe<right>>);
static_assert(qp::recipe_type<qp::as_recipe<w4>>);
static_assert(std::is_empty_v<right>);
