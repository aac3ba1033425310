// SPDX-License-Identifier: Apache-2.0
// expect: qompose: progressive: the image is not int8

#include "qompose/types.hpp"

namespace qp = qompose;

using wrong = qp::progressive<qp::int4>;
using use = wrong::image;
