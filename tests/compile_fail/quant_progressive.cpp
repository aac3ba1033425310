// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: progressive scales are for 4-bit unsigned codes

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::int4, qp::per_group<128>, qp::scale<qp::progressive<qp::int8>>>;
using use = wrong::element;
