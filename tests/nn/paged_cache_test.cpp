// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/nn/attention.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/attention_reference.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

constexpr std::size_t n_kv_heads = 2;
constexpr std::size_t head_dim = 32;
constexpr std::size_t width = n_kv_heads * head_dim;

/// A sequence in pages beside the same sequence in memory of its own.
template <class Paged, class Plain>
struct twin {
  Paged paged;
  Plain plain;
};

template <class Twin>
void check_same(const Twin& twin, const matrix& q, float tolerance) {
  CHECK(twin.paged.length() == twin.plain.length());
  if (twin.plain.length() == 0) return;
  matrix a(1, q.cols());
  matrix b(1, q.cols());
  qp::attention(q.view(), twin.paged, a.view());
  qp::attention(q.view(), twin.plain, b.view());
  float worst = 0.0f;
  for (std::size_t i = 0; i < a.values().size(); ++i) {
    worst = std::fmax(worst, std::abs(a.values()[i] - b.values()[i]));
  }
  CHECK(worst <= tolerance);
}

/// Random appends, forks, truncations and ends of sequences that share a pool.
template <class Paged, class Plain>
void run_sequences(std::uint64_t seed, std::size_t n_blocks, float tolerance) {
  using pair = twin<Paged, Plain>;
  qp::random_source random(seed);
  const auto below = [&](std::size_t n) {
    return static_cast<std::size_t>(random.uniform() * static_cast<double>(n));
  };
  const auto pool = std::make_shared<qp::block_pool>(n_blocks, Paged::block_bytes(head_dim));
  const matrix q = random_matrix(1, 2 * width, seed);
  constexpr std::size_t most = 400;
  {
    std::vector<pair> sequences;
    std::size_t refused = 0;
    for (int step = 0; step < 250; ++step) {
      const std::size_t action = below(10);
      if (sequences.empty() || (action == 0 && sequences.size() < 12)) {
        sequences.push_back({Paged(pool, n_kv_heads, head_dim), Plain(n_kv_heads, head_dim, most)});
        continue;
      }
      const std::size_t at = below(sequences.size());
      if (action == 1 && sequences.size() < 12) {
        pair fork = sequences[at];
        check_same(fork, q, tolerance);
        sequences.push_back(std::move(fork));
      } else if (action == 2) {
        sequences.erase(sequences.begin() + static_cast<std::ptrdiff_t>(at));
        continue;
      } else if (action == 3) {
        const std::size_t length = below(sequences[at].plain.length() + 1);
        sequences[at].paged.truncate(length);
        sequences[at].plain.truncate(length);
      } else {
        const std::size_t n = 1 + below(40);
        if (sequences[at].plain.length() + n > most) continue;
        const matrix k = random_matrix(n, width, seed * 1000 + static_cast<std::uint64_t>(step));
        const matrix v = random_matrix(n, width, seed * 2000 + static_cast<std::uint64_t>(step));
        const std::size_t free_before = pool->free_blocks();
        try {
          sequences[at].paged.append(k.view(), v.view());
          sequences[at].plain.append(k.view(), v.view());
        } catch (const qp::out_of_blocks&) {
          // Nothing is lost: the sequence is as it was.
          ++refused;
          CHECK(pool->free_blocks() == free_before);
          check_same(sequences[at], q, tolerance);
          sequences.erase(sequences.begin());
          continue;
        }
      }
      for (const pair& sequence : sequences) check_same(sequence, q, tolerance);
    }
    CHECK(refused > 0);
  }
  CHECK(pool->free_blocks() == pool->n_blocks());
}

template <std::size_t N>
using pages = qp::layout<qp::paged<N>>;
using int4_channel = qp::quant<qp::int4, qp::per_channel>;

}  // namespace

TEST_CASE("kv_cache: pages hold what memory of its own holds, whatever sequences do",
          "[nn][cache]") {
  SECTION("halves, of which sums begin anew with each page") {
    using k = qp::keys<qp::fp16>;
    using v = qp::values<qp::fp16>;
    run_sequences<qp::kv_cache<k, v, pages<16>>, qp::kv_cache<k, v>>(1, 120, 2e-6f);
  }
  SECTION("int8 and four bits, first tokens exact") {
    using k = qp::keys<qp::a8_token>;
    using v = qp::values<qp::w4_g32, qp::residual<10>>;
    // Pages as long as the blocks of a contiguous cache, so that weights are rounded alike.
    run_sequences<qp::kv_cache<k, v, pages<64>, qp::exact_first<2>>,
                  qp::kv_cache<k, v, qp::exact_first<2>>>(2, 24, 0.0f);
  }
  SECTION("scales per channel") {
    using v =
        qp::values<qp::quant<qp::uint4, qp::per_token, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>>;
    run_sequences<qp::kv_cache<qp::keys<int4_channel>, v, pages<32>>,
                  qp::kv_cache<qp::keys<int4_channel, qp::residual<32>>, v>>(3, 40, 0.0f);
  }
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

TEMPLATE_TEST_CASE("kv_cache: what another format left in a page is not seen", "[nn][cache]",
                   (qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>, pages<16>>),
                   (qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::a8_token>, pages<16>>)) {
  const auto pool = std::make_shared<qp::block_pool>(2, TestType::block_bytes(head_dim));
  // NaN as floats and halves, and so as scales.
  std::vector<std::byte*> blocks(2);
  pool->take(2, blocks.data());
  for (std::byte* block : blocks) std::memset(block, 0xff, pool->block_bytes());
  for (const std::byte* block : blocks) pool->drop(block);
  TestType cache(pool, n_kv_heads, head_dim);
  const matrix x(5, width, 0.5f);
  cache.append(x.view(), x.view());
  matrix y(1, width);
  qp::attention(x.view().rows(0, 1), cache, y.view());
  // The mean of equal values; int8 and its weights round.
  for (const float value : y.values()) CHECK(std::abs(value - 0.5f) <= 0.005f);
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
  qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::fp16>> cache(1, 16, 4);
  matrix x(2, 16, 1.0f);
  const matrix good(2, 16, 1.0f);
  x(1, 3) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(cache.append(x.view(), good.view()), contains("k: row 1 holds a number"));
  x(1, 3) = 1e5f;
  CHECK_THROWS_WITH(cache.append(good.view(), x.view()), contains("v: row 1 holds a number"));
  CHECK(cache.length() == 0);
  cache.append(good.view(), good.view());
}
