// SPDX-License-Identifier: Apache-2.0
// expect: qompose: kv_cache: an argument fills no slot; wrap it in keys<>

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::kv_cache<qp::fp16>;
static_assert(sizeof(wrong) > 0);
