// SPDX-License-Identifier: Apache-2.0
// expect: qompose: kv_cache: the tokens that share scales per channel are those of a page

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::kv_cache<qp::keys<qp::quant<qp::int4, qp::per_channel>, qp::residual<128>>,
                           qp::layout<qp::paged<64>>>;
wrong cache;
