// SPDX-License-Identifier: Apache-2.0
// expect: qompose: block_hadamard: the block length is not a power of two

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::block_hadamard<48>;
static_assert(sizeof(wrong) > 0);
