// SPDX-License-Identifier: Apache-2.0
// expect: qompose: recipe: the low_rank slot takes no_low_rank only

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::recipe<qp::low_rank<int>>;
using use = wrong::weight_spec;
