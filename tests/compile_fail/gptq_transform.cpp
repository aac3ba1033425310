// SPDX-License-Identifier: Apache-2.0
// expect: qompose: gptq: the transform mixes channels of different blocks of the Gram matrix
#include "qompose/calibrate/gptq.hpp"
#include "qompose/transforms/hadamard.hpp"

namespace qp = qompose;

void misuse(const qp::block_gram& gram) { (void)qp::gptq_feedback::make<qp::hadamard>(gram); }
