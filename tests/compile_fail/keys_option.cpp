// SPDX-License-Identifier: Apache-2.0
// expect: qompose: keys: an option is unknown; write before_rope

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::keys<qp::fp16, qp::contiguous>;
using use = wrong::policy;
