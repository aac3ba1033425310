// SPDX-License-Identifier: Apache-2.0
// expect: qompose: weight: the argument is neither a number format nor a quant

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::weight<qp::per_channel>;
using use = wrong::policy;
