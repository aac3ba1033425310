// SPDX-License-Identifier: Apache-2.0
// expect: qompose: activation: stored scales have no zero point beside them; write signed codes

#include "qompose/types.hpp"

namespace qp = qompose;

using codes = qp::quant<qp::uint8, qp::per_tensor, qp::scale<qp::fp32>, qp::zero<qp::uint8>>;
using wrong = qp::activation<codes, qp::calibrated>;
using use = wrong::policy;
