// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: codes of this format need a scale

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::int4, qp::per_group<32>, qp::no_scale>;
using use = wrong::element;
