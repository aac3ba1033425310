// SPDX-License-Identifier: Apache-2.0
// expect: qompose: outlier_elements: the number of elements is not in 1..32

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::keys<qp::a8_token, qp::outliers<qp::outlier_elements<0>>>;
constexpr auto n = wrong::options::outliers;
