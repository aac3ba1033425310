// SPDX-License-Identifier: Apache-2.0
// expect: qompose: recipe: a slot is given twice; name each slot once

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::recipe<qp::weight<qp::int4>, qp::weight<qp::int8>>;
using use = wrong::weight_spec;
