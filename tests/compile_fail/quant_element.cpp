// SPDX-License-Identifier: Apache-2.0
// expect: qompose: quant: the first argument is not a number format

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<float, qp::per_channel>;
using use = wrong::element;
