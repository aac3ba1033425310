// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: the third argument is not a scale; write scale<fp16>

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::int4, qp::per_group<32>, qp::fp16>;
using use = wrong::element;
