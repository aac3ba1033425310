// SPDX-License-Identifier: Apache-2.0
// expect: qompose: approximate: the format stands for small integers as it is

#include "qompose/formats/approximate.hpp"

namespace qp = qompose;

using wrong = qp::approximate<qp::int4>;
static_assert(wrong::error > 0.0f);
