// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: the first argument has no zero and no sign

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::e8m0, qp::per_group<32>>;
using use = wrong::element;
