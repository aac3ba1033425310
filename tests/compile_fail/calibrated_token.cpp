// SPDX-License-Identifier: Apache-2.0
// expect: qompose: activation: a stored scale cannot belong to one token; write per_tensor

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::activation<qp::quant<qp::int8, qp::per_token>, qp::calibrated>;
using use = wrong::policy;
