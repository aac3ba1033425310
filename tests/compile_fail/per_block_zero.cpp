// SPDX-License-Identifier: Apache-2.0
// expect: qompose: per_block: a block of 0 rows

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::quant<qp::int8, qp::per_block<0, 32>>;
using use = wrong::element;
constexpr auto rows = qp::per_block<0, 32>::group_rows(3);
