// SPDX-License-Identifier: Apache-2.0
// expect: qompose: minifloat: overflow to NaN or infinity needs a code for it

#include "qompose/formats/minifloat.hpp"

namespace qp = qompose;

using wrong = qp::minifloat<2, 1, qp::special_values::none, qp::overflow::nan_or_inf>;
static_assert(sizeof(wrong) > 0);
