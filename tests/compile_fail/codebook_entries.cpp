// SPDX-License-Identifier: Apache-2.0
// expect: qompose: codebook: the number of entries is not in 2..256

#include "qompose/formats/codebook.hpp"

namespace qp = qompose;

using wrong = qp::codebook<257>;
static_assert(sizeof(wrong) > 0);
