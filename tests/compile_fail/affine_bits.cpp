// SPDX-License-Identifier: Apache-2.0
// expect: qompose: affine: the codes of integer-only layers have 8 bits

#include "qompose/qompose.hpp"

static_assert(sizeof(qompose::affine<qompose::uint4>) > 0);
