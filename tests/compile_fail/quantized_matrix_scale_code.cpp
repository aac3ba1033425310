// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quantized_matrix: this spec stores no scale

#include "qompose/qompose.hpp"

namespace qp = qompose;

int wrong(const qp::quantized_matrix<qp::codebook4>& q) { return q.scale_code(0, 0); }
