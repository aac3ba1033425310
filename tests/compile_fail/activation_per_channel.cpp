// SPDX-License-Identifier: Apache-2.0
// expect: qompose: activation: per_channel is for weights; use per_token

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::activation<qp::quant<qp::int8, qp::per_channel>>;
using use = wrong::policy;
