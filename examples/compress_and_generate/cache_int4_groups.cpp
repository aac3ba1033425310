// SPDX-License-Identifier: Apache-2.0

#include "make_cache.hpp"

namespace demo {

/// The types of other programs: a scale for 32 elements of a token.
cache_kind int4_minimum_cache() {
  return {"int4_minimum", "uint4 with minima in groups of 32", choose_both<qp::w4_minimum_g32>()};
}

cache_kind int4_symmetric_cache() {
  return {"int4_symmetric", "int4 in groups of 32", choose_both<qp::w4_g32>()};
}

}  // namespace demo
