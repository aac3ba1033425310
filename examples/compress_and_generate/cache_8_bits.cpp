// SPDX-License-Identifier: Apache-2.0

#include "make_cache.hpp"

namespace demo {

cache_kind int8_cache() { return {"int8", "int8 per token", choose_both<qp::a8_token>()}; }

cache_kind fp8_cache() { return {"fp8", "fp8 (e4m3) per token", choose_both<qp::fp8_token>()}; }

cache_kind mxfp8_cache() {
  return {"mxfp8", "OCP MX: fp8 (e4m3) in groups of 32", choose_both<qp::mxfp8_e4m3>()};
}

}  // namespace demo
