// SPDX-License-Identifier: Apache-2.0
// expect: qompose: recipe: the outliers slot takes no_outliers only

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::recipe<qp::outliers<int>>;
using use = wrong::weight_spec;
