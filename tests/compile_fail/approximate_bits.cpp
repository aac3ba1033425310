// SPDX-License-Identifier: Apache-2.0
// expect: qompose: approximate: codes of 7 and 8 bits gain nothing

#include "qompose/formats/approximate.hpp"
#include "qompose/formats/fp8_e4m3.hpp"

namespace qp = qompose;

using wrong = qp::approximate<qp::fp8_e4m3>;
static_assert(wrong::error > 0.0f);
