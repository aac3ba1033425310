// SPDX-License-Identifier: Apache-2.0

#include "make_cache.hpp"

namespace demo {

cache_kind f32_cache() { return {"f32", "floats", choose<>()}; }

cache_kind f16_cache() { return {"f16", "half floats", choose_both<qp::fp16>()}; }

cache_kind bf16_cache() { return {"bf16", "bfloat16", choose_both<qp::bf16>()}; }

}  // namespace demo
