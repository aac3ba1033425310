// SPDX-License-Identifier: Apache-2.0
// expect: qompose: transform: its data does not follow from the recipe
#include "qompose/nn/compress.hpp"
#include "qompose/types.hpp"

namespace qp = qompose;

using recipe = qp::recipe<qp::weight<qp::w4_g32>, qp::transform<qp::channel_scale>>;
void misuse(qp::matrix_view<const float> weights) { (void)qp::compress<recipe>(weights); }
