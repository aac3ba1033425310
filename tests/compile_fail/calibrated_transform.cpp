// SPDX-License-Identifier: Apache-2.0
// expect: qompose: compress: the statistics are of inputs behind another transform

#include "qompose/nn/compress.hpp"
#include "qompose/transforms/block_hadamard.hpp"

namespace qp = qompose;

using codes = qp::quant<qp::int8, qp::per_tensor>;
using recipe =
    qp::recipe<qp::activation<codes, qp::calibrated>, qp::transform<qp::block_hadamard<64>>>;
void misuse(qp::matrix_view<const float> weights, qp::activation_statistics<> inputs) {
  (void)qp::compress<recipe>(weights, {}, inputs);
}
