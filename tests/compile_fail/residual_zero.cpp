// SPDX-License-Identifier: Apache-2.0
// expect: qompose: residual: 0 tokens are none; leave the option out

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::keys<qp::a8_token, qp::residual<0>>;
constexpr auto tokens = wrong::options::residual;
