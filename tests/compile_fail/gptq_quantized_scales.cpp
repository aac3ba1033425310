// SPDX-License-Identifier: Apache-2.0
// expect: qompose: gptq: scales that are quantized themselves cannot be fitted group by group

#include "qompose/calibrate/gptq.hpp"
#include "qompose/types.hpp"

namespace qp = qompose;

using scales = qp::quant<qp::uint8, qp::per_channel>;
using spec = qp::quant<qp::int4, qp::per_group<32>, qp::scale<scales>>;

void wrong(qp::quantized_matrix<spec>& q, qp::matrix_view<float> rows) {
  qp::gptq_rule<>{}.quantize(q, rows);
}
