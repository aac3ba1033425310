// SPDX-License-Identifier: Apache-2.0
// expect: qompose: kv_cache: the tokens of a block are no multiple of 16

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::kv_cache<qp::keys<qp::w3_g32>, qp::layout<qp::paged<16>>>;
wrong cache;
