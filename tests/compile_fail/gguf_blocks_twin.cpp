// SPDX-License-Identifier: Apache-2.0
// expect: qompose: gguf_blocks: GGUF has no type for this composition

#include "qompose/io/gguf_matrix.hpp"

namespace qp = qompose;

using spec = qp::quant<qp::int4, qp::per_group<64>, qp::scale<qp::fp16>>;

void wrong(const qp::quantized_matrix<spec>& q) { (void)qp::gguf_blocks(q); }
