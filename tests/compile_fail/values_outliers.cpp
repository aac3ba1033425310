// SPDX-License-Identifier: Apache-2.0
// expect: qompose: values: floats have no outliers

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::values<qp::fp16, qp::outliers<qp::outlier_elements<1>>>;
using use = wrong::policy;
