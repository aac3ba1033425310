// SPDX-License-Identifier: Apache-2.0
// expect: qompose: keys: a cache stores fp32, fp16, bf16, or codes of at most 8 bits

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::keys<qp::quant<qp::int4, qp::per_tensor>>;
using use = wrong::policy;
