// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: a zero point or minimum needs unsigned codes

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::int4, qp::per_group<32>, qp::scale<qp::fp16>, qp::zero<qp::uint4>>;
using use = wrong::element;
