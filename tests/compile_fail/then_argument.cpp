// SPDX-License-Identifier: Apache-2.0
// expect: qompose: then: an argument is not a transform
#include "qompose/transforms/hadamard.hpp"
#include "qompose/transforms/then.hpp"

namespace qp = qompose;

using wrong = qp::then<qp::hadamard, int>::data;
wrong data;
