// SPDX-License-Identifier: Apache-2.0
// expect: qompose: latent_cache: the second argument is no layout

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::latent_cache<qp::fp16, qp::paged<64>>;
using use = wrong::spec;
