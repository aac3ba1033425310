// SPDX-License-Identifier: Apache-2.0
// expect: qompose: kv_cache: the data of a transform does not follow from its type

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::kv_cache<qp::keys<qp::a8_token, qp::transform<qp::channel_scale>>>;
wrong cache;
