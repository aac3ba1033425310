// SPDX-License-Identifier: Apache-2.0
// expect: qompose: recipe: an argument fills no slot; wrap it in weight<>

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::recipe<qp::int4>;
using use = wrong::weight_spec;
