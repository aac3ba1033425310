// SPDX-License-Identifier: Apache-2.0
// expect: qompose: scale: a bare signed integer holds no fraction

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::scale<qp::int8>;
using use = wrong::format;
