// SPDX-License-Identifier: Apache-2.0
// expect: qompose: minifloat: sign, exponent

#include "qompose/formats/minifloat.hpp"

namespace qp = qompose;

using wrong = qp::minifloat<5, 3>;
static_assert(sizeof(wrong) > 0);
