// SPDX-License-Identifier: Apache-2.0
// expect: qompose: compress: the recipe stores the scales of its activations; add typical inputs

#include "qompose/nn/compress.hpp"

namespace qp = qompose;

using codes = qp::quant<qp::int8, qp::per_tensor>;
using recipe = qp::recipe<qp::activation<codes, qp::calibrated>>;
void misuse(qp::matrix_view<const float> weights) { (void)qp::compress<recipe>(weights); }
