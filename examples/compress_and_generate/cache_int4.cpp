// SPDX-License-Identifier: Apache-2.0

#include "make_cache.hpp"

namespace demo {

namespace {
using per_channel =
    qp::quant<qp::uint4, qp::per_channel, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
using per_token = qp::quant<qp::uint4, qp::per_token, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
using rotated_values = qp::values<per_token, qp::transform<qp::hadamard>, qp::residual<128>>;
}  // namespace

/// Before rotary embedding a channel of keys stays within a range of its own.
cache_kind int4_cache() {
  return {"int4", "uint4 with minima: keys per channel before RoPE, values per token, rotated",
          choose<qp::keys<per_channel, qp::before_rope, qp::residual<128>>, rotated_values,
                 qp::exact_first<4>>()};
}

/// After it, keys meet queries on integers.
cache_kind int4_hadamard_cache() {
  return {"int4_hadamard", "the same after RoPE, keys rotated as well",
          choose<qp::keys<per_channel, qp::transform<qp::hadamard>, qp::residual<128>>,
                 rotated_values, qp::exact_first<4>>()};
}

}  // namespace demo
