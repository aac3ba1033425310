// SPDX-License-Identifier: Apache-2.0
// expect: qompose: eviction: the argument is not an eviction policy; write eviction<keep_all>

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::eviction<qp::contiguous>;
using use = wrong::policy;
