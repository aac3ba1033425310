// SPDX-License-Identifier: Apache-2.0
// expect: qompose: values: an option is unknown; write transform<hadamard>

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::values<qp::fp16, qp::before_rope>;
using use = wrong::policy;
