// SPDX-License-Identifier: Apache-2.0
// expect: qompose: approximate: the largest magnitude of the format is not in

#include "qompose/formats/approximate.hpp"
#include "qompose/formats/minifloat.hpp"

namespace qp = qompose;

using wrong = qp::approximate<qp::minifloat<4, 1>>;
static_assert(wrong::error > 0.0f);
