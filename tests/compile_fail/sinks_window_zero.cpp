// SPDX-License-Identifier: Apache-2.0
// expect: qompose: sinks_and_window: a window of 0 tokens does not hold

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::eviction<qp::sinks_and_window<4, 0>>;
using use = wrong::policy;
