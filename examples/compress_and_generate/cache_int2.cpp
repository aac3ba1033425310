// SPDX-License-Identifier: Apache-2.0

#include "make_cache.hpp"

namespace demo {

cache_kind int2_cache() {
  using keys = qp::quant<qp::uint2, qp::per_channel, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
  using values =
      qp::quant<qp::uint2, qp::per_group<32>, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
  return {"int2", "KIVI: uint2 with minima, keys per channel, values in groups of 32",
          choose<qp::keys<keys, qp::residual<128>>, qp::values<values, qp::residual<128>>>()};
}

}  // namespace demo
