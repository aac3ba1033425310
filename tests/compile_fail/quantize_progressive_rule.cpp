// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quantize: progressive scales have a rule of their own

#include "qompose/qompose.hpp"

namespace qp = qompose;

void wrong(qp::matrix_view<const float> x) {
  (void)qp::quantize<qp::w4_progressive>(x, qp::mse_search{});
}
