// SPDX-License-Identifier: Apache-2.0
// expect: qompose: per_group: group_size is 0; use per_channel

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::per_group<0>;
static_assert(sizeof(wrong) > 0);
