// SPDX-License-Identifier: Apache-2.0
// expect: qompose: save and load: the type has no file of its own

#include "qompose/io/matrix_file.hpp"

namespace qp = qompose;

void wrong() { qp::save("spec.safetensors", qp::quant<qp::int4, qp::per_channel>{}); }
