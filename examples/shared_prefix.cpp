// SPDX-License-Identifier: Apache-2.0
/// @file
/// @brief Two sequences that share the pages of their beginning.
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "qompose/qompose.hpp"

namespace qp = qompose;

int main() {
  const std::size_t n_kv_heads = 2, group = 4, head_dim = 64, tokens = 200;
  const std::size_t width = n_kv_heads * head_dim;
  std::vector<float> k(tokens * width), v(tokens * width), q(group * width), y(group * width);
  for (std::size_t i = 0; i < k.size(); ++i) {
    k[i] = std::sin(0.7f * static_cast<float>(i * i));
    v[i] = std::cos(0.3f * static_cast<float>(i * i));
  }
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = std::sin(0.5f * static_cast<float>(i));

  //! [fork]
  using cache_type =
      qp::kv_cache<qp::keys<qp::quant<qp::int8, qp::per_channel>>,  // a scale a channel and page
                   qp::values<qp::quant<qp::int4, qp::per_group<32>, qp::scale<qp::fp16>>>,
                   qp::layout<qp::paged<64>>>;
  const auto pool = std::make_shared<qp::block_pool>(64, cache_type::block_bytes(head_dim));
  cache_type prompt(pool, n_kv_heads, head_dim);
  prompt.append({k.data(), 192, width}, {v.data(), 192, width});
  cache_type answer = prompt;  // shares all pages of the prompt
  answer.append({k.data() + 192 * width, 8, width}, {v.data() + 192 * width, 8, width});
  qp::attention(qp::matrix_view<const float>(q.data(), 1, group * width), answer,
                qp::matrix_view<float>(y.data(), 1, group * width));
  //! [fork]

  std::printf("%zu of %zu tokens in common, %zu of %zu pages in use, %.0f bytes a token\n",
              prompt.length(), answer.length(), pool->n_blocks() - pool->free_blocks(),
              pool->n_blocks(), cache_type::bytes_per_token(n_kv_heads, head_dim));
  return std::isfinite(y[0]) ? 0 : 1;
}
