// SPDX-License-Identifier: Apache-2.0
// expect: qompose: activation: the second argument is not a known time

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::activation<qp::quant<qp::int8, qp::per_token>, int>;
using use = wrong::policy;
