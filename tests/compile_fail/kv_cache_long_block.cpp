// SPDX-License-Identifier: Apache-2.0
// expect: qompose: kv_cache: more than 1024 tokens would share the scales of a channel

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::kv_cache<qp::keys<qp::quant<qp::int4, qp::per_channel>, qp::residual<2048>>>;
wrong cache;
