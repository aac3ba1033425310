// SPDX-License-Identifier: Apache-2.0
// expect: qompose: codebook: the entries' type is not a number format

#include "qompose/formats/codebook.hpp"

namespace qp = qompose;

using wrong = qp::codebook<16, float>;
static_assert(sizeof(wrong) > 0);
