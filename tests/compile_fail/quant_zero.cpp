// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: the fourth argument is not a zero point

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::uint4, qp::per_group<32>, qp::scale<qp::fp16>, qp::uint4>;
using use = wrong::element;
