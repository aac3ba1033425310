// SPDX-License-Identifier: Apache-2.0
// expect: qompose: values: an option is given twice; name each once

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::values<qp::a8_token, qp::residual<16>, qp::residual<32>>;
using use = wrong::policy;
