// SPDX-License-Identifier: Apache-2.0
// expect: qompose: int_n: bits is not in 2..8

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::int_n<9>;
static_assert(sizeof(wrong) > 0);
