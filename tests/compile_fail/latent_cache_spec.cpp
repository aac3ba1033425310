// SPDX-License-Identifier: Apache-2.0
// expect: qompose: latent_cache: latents are fp32, fp16, bf16, or codes of at most 8 bits

#include "qompose/qompose.hpp"

namespace qp = qompose;

using wrong = qp::latent_cache<qp::quant<qp::int8, qp::per_channel>>;
using use = wrong::spec;
