// SPDX-License-Identifier: Apache-2.0
// expect: qompose: scale: the argument is neither a number format nor a quant

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::scale<float>;
using use = wrong::format;
