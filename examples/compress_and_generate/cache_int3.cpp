// SPDX-License-Identifier: Apache-2.0

#include "make_cache.hpp"

namespace demo {

cache_kind int3_cache() {
  using channel = qp::quant<qp::uint3, qp::per_channel, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
  using token = qp::quant<qp::uint3, qp::per_token, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
  return {"int3",
          "uint3 as int4, keys rotated too, two elements of each channel and 128 tokens apart",
          choose<qp::keys<channel, qp::before_rope, qp::transform<qp::hadamard>, qp::residual<128>,
                          qp::outliers<qp::outlier_elements<2>>>,
                 qp::values<token, qp::transform<qp::hadamard>, qp::residual<128>>,
                 qp::exact_first<4>>()};
}

}  // namespace demo
