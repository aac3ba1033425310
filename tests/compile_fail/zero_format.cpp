// SPDX-License-Identifier: Apache-2.0
// expect: qompose: zero: the argument is neither a number format nor a quant

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::zero<int>;
using use = wrong::format;
