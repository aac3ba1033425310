// SPDX-License-Identifier: Apache-2.0
// expect: qompose: integer_linear: the weights are not signed bytes with one scale a row

#include "qompose/qompose.hpp"

namespace qp = qompose;

static_assert(sizeof(qp::integer_linear<qp::uint8, qp::uint8, qp::w4_g32>) > 0);
