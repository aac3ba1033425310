// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: a codebook of every group takes no scale

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::codebook<16>, qp::per_channel, qp::scale<qp::fp16>>;
using use = wrong::element;
