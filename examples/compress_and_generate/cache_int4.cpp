// SPDX-License-Identifier: Apache-2.0

#include "make_cache.hpp"

namespace demo {

/// Keys keep their large channels apart, and what is not centred has minima.
cache_kind int4_cache() {
  using keys = qp::quant<qp::uint4, qp::per_channel, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
  using values = qp::quant<qp::uint4, qp::per_token, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
  return {"int4", "uint4 with minima, keys per channel, values per token, 128 newest tokens exact",
          choose<qp::keys<keys, qp::transform<qp::hadamard>, qp::residual<128>>,
                 qp::values<values, qp::residual<128>>>()};
}

}  // namespace demo
