// SPDX-License-Identifier: Apache-2.0
// expect: qompose: latent_cache: the first argument is neither a number format

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::latent_cache<int>;
using use = wrong::spec;
