// SPDX-License-Identifier: Apache-2.0
// expect: qompose: activation: calibrated is for numbers with scales that stand alone

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::activation<qp::bf16, qp::calibrated>;
using use = wrong::policy;
