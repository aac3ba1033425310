// SPDX-License-Identifier: Apache-2.0
// expect: qompose: keys: the first argument is neither a number format nor a quant

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::keys<int>;
using use = wrong::policy;
