// SPDX-License-Identifier: Apache-2.0

#include "make_cache.hpp"

namespace demo {

cache_kind nvfp4_cache() { return {"nvfp4", "fp4 in groups of 16", choose_both<qp::nvfp4>()}; }

cache_kind mxfp4_cache() {
  return {"mxfp4", "OCP MX: fp4 in groups of 32", choose_both<qp::mxfp4>()};
}

cache_kind nf4_cache() {
  return {"nf4", "nf4 per token", choose_both<qp::quant<qp::nf4, qp::per_token>>()};
}

}  // namespace demo
