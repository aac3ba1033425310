// SPDX-License-Identifier: Apache-2.0
// expect: qompose: kv_cache: a slot is given twice; name each slot once

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::kv_cache<qp::keys<qp::fp16>, qp::keys<qp::bf16>>;
static_assert(sizeof(wrong) > 0);
