// SPDX-License-Identifier: Apache-2.0
// expect: qompose: values: the cache stores fp32, fp16, bf16 or quant<int8, per_token>

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::values<float>;
using use = wrong::policy;
