// SPDX-License-Identifier: Apache-2.0
// expect: qompose: layout: the argument is not a cache layout; write layout<contiguous>

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::layout<qp::keep_all>;
using use = wrong::policy;
