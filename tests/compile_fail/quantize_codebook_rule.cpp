// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quantize: a codebook needs a rule that learns its entries

#include "qompose/qompose.hpp"

namespace qp = qompose;

void wrong(qp::matrix_view<const float> x) { (void)qp::quantize<qp::codebook4>(x, qp::absmax{}); }
