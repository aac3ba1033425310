// SPDX-License-Identifier: Apache-2.0
// expect: qompose: latent_cache: groups are no multiple of 16 elements

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::latent_cache<qp::quant<qp::int8, qp::per_group<24>>>;
using use = wrong::spec;
