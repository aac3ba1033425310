// SPDX-License-Identifier: Apache-2.0
// expect: qompose: gptq: scales that are quantized themselves cannot be fitted group by group
#include "qompose/calibrate/gptq.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/types.hpp"

namespace qp = qompose;

using spec =
    qp::quant<qp::int4, qp::per_group<32>, qp::scale<qp::quant<qp::uint8, qp::per_channel>>>;

void misuse(qp::matrix_view<const float> weights, const qp::gptq_feedback& feedback) {
  (void)qp::compress<spec>(weights, {}, qp::gptq_rule<>{{}, &feedback});
}
