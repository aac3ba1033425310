// SPDX-License-Identifier: Apache-2.0
// expect: qompose: transform: the argument is not a transform

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::transform<qp::int4>;
using use = wrong::policy;
