// SPDX-License-Identifier: Apache-2.0
// expect: qompose: weight: per_token is for activations; use per_channel

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::weight<qp::quant<qp::int8, qp::per_token>>;
using use = wrong::policy;
