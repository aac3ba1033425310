// SPDX-License-Identifier: Apache-2.0
// expect: qompose: fixed_point: fraction_bits is not in 0..bits - 1

#include "qompose/formats/fixed_point.hpp"

namespace qp = qompose;

using wrong = qp::fixed_point<8, 8>;
static_assert(sizeof(wrong) > 0);
