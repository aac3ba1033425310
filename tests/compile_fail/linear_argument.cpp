// SPDX-License-Identifier: Apache-2.0
// expect: qompose: linear: the argument is neither a recipe nor a tensor spec

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::as_recipe<qp::per_channel>;
using use = wrong::weight_spec;
