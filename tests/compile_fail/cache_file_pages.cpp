// SPDX-License-Identifier: Apache-2.0
// expect: qompose: load: the blocks of a cache in pages come from a pool

#include "qompose/io/cache_file.hpp"
#include "qompose/qompose.hpp"

namespace qp = qompose;

using cache_type =
    qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>, qp::layout<qp::paged<16>>>;
const auto wrong = qp::load<cache_type>("cache.safetensors");
