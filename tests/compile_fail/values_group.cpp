// SPDX-License-Identifier: Apache-2.0
// expect: qompose: values: groups are no multiple of 16 elements

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::values<qp::quant<qp::int4, qp::per_group<24>>>;
using use = wrong::policy;
