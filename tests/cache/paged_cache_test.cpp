// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <limits>
#include <memory>
#include <vector>

#include "qompose/nn/kv_cache.hpp"
#include "support/cache_sequences.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <std::size_t N>
using pages = qp::layout<qp::paged<N>>;

}  // namespace

TEST_CASE("kv_cache: pages hold what memory of its own holds, whatever sequences do",
          "[nn][cache]") {
  using k = qp::keys<qp::fp16>;
  using v = qp::values<qp::fp16>;
  run_sequences<qp::kv_cache<k, v, pages<16>>, qp::kv_cache<k, v>>(1, 120);
}

TEST_CASE("kv_cache: a fork shares pages until one of the two writes", "[nn][cache]") {
  using cache_type = qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>, pages<16>>;
  const auto pool = std::make_shared<qp::block_pool>(20, cache_type::block_bytes(head_dim));
  const matrix x = random_matrix(40, width, 1);
  cache_type first(pool, n_kv_heads, head_dim);
  first.append(x.view(), x.view());
  CHECK(pool->free_blocks() == 20 - 2 * 3);
  {
    cache_type second = first;
    CHECK(pool->free_blocks() == 20 - 2 * 3);
    // The third page of each head is half full, and becomes the second sequence's own.
    second.append(x.view().rows(0, 1), x.view().rows(0, 1));
    CHECK(pool->free_blocks() == 20 - 2 * 4);
    CHECK(first.length() == 40);
    CHECK(second.length() == 41);
  }
  CHECK(pool->free_blocks() == 20 - 2 * 3);
  first.truncate(17);
  CHECK(pool->free_blocks() == 20 - 2 * 2);
  first.truncate(16);
  CHECK(pool->free_blocks() == 20 - 2 * 1);
}

TEST_CASE("kv_cache: without free pages an append changes nothing", "[nn][cache]") {
  using cache_type = qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>, pages<16>>;
  const auto pool = std::make_shared<qp::block_pool>(5, cache_type::block_bytes(head_dim));
  const matrix x = random_matrix(40, width, 1);
  cache_type cache(pool, n_kv_heads, head_dim);
  CHECK_THROWS_AS(cache.append(x.view(), x.view()), qp::out_of_blocks);
  CHECK_THROWS_WITH(cache.append(x.view(), x.view()),
                    contains("6 blocks asked for, 5 of 5 are free"));
  CHECK(cache.length() == 0);
  CHECK(pool->free_blocks() == 5);
  CHECK_NOTHROW(cache.append(x.view().rows(0, 32), x.view().rows(0, 32)));
  CHECK_THROWS_AS(cache.append(x.view().rows(0, 1), x.view().rows(0, 1)), qp::out_of_blocks);
  CHECK(cache.length() == 32);
  CHECK_THROWS_WITH(cache_type(pool, 1, 64), contains("expected blocks of"));
  CHECK_THROWS_WITH(cache_type(nullptr, 1, 32), contains("no pool of blocks"));
  CHECK_THROWS_AS(qp::block_pool(0, 64), qp::argument_error);
}

TEST_CASE("kv_cache: a window gives its old pages back", "[nn][cache]") {
  using cache_type = qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>, pages<16>,
                                  qp::eviction<qp::sinks_and_window<2, 20>>>;
  const auto pool = std::make_shared<qp::block_pool>(6, cache_type::block_bytes(head_dim));
  const matrix x = random_matrix(1, width, 1);
  cache_type cache(pool, n_kv_heads, head_dim);
  for (int t = 0; t < 300; ++t) cache.append(x.view(), x.view());
  CHECK(cache.length() == 300);
  CHECK(cache.size() <= 2 + 20 + 16);
}

TEST_CASE("kv_cache: numbers that cannot be stored are refused", "[nn][cache]") {
  qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>> cache(1, 16, 4);
  matrix x(2, 16, 1.0f);
  const matrix good(2, 16, 1.0f);
  x(1, 3) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(cache.append(x.view(), good.view()), contains("k: row 1 holds a number"));
  x(1, 3) = 1e5f;
  CHECK_THROWS_WITH(cache.append(good.view(), x.view()), contains("v: row 1 holds a number"));
  CHECK(cache.length() == 0);
  cache.append(good.view(), good.view());
}
