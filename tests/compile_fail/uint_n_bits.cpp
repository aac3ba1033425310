// SPDX-License-Identifier: Apache-2.0
// expect: qompose: uint_n: bits is not in 2..8

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::uint_n<1>;
static_assert(sizeof(wrong) > 0);
