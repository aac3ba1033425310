// SPDX-License-Identifier: Apache-2.0
// expect: qompose: values: scales per channel are for keys

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::values<qp::quant<qp::int4, qp::per_channel>>;
using use = wrong::policy;
