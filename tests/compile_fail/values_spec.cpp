// SPDX-License-Identifier: Apache-2.0
// expect: qompose: values: a cache stores fp32, fp16, bf16, or codes of at most 8 bits

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::values<qp::fp8_e4m3>;
using use = wrong::policy;
