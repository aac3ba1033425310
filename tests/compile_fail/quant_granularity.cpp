// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: the second argument is not a granularity

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::int4, qp::fp16>;
using use = wrong::element;
