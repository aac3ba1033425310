// SPDX-License-Identifier: Apache-2.0
// expect: qompose: kv_cache: contiguous keys with scales per channel need to know

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::kv_cache<qp::keys<qp::quant<qp::int4, qp::per_channel>>>;
wrong cache(1, 64, 10);
