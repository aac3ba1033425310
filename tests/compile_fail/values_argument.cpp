// SPDX-License-Identifier: Apache-2.0
// expect: qompose: values: the first argument is neither a number format nor a quant

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::values<int>;
using use = wrong::policy;
