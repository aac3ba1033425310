// SPDX-License-Identifier: Apache-2.0
// expect: qompose: window: a window of 0 tokens sees nothing

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::eviction<qp::window<0>>;
using use = wrong::policy;
