// SPDX-License-Identifier: Apache-2.0
// expect: qompose: recipe: the sparsity slot takes dense only

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::recipe<qp::sparsity<int>>;
using use = wrong::weight_spec;
