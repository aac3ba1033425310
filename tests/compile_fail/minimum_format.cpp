// SPDX-License-Identifier: Apache-2.0
// expect: qompose: minimum: the argument is neither a number format nor a quant

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::minimum<double>;
using use = wrong::format;
