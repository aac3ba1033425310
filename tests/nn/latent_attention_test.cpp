// SPDX-License-Identifier: Apache-2.0

#include "qompose/nn/latent_attention.hpp"

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "qompose/core/thread_pool.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/attention_reference.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/latent_reference.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Cache>
Cache filled(const latent_inputs& in) {
  Cache cache(in.rank, in.tokens);
  cache.append(in.c.view());
  return cache;
}

template <class Cache>
matrix attend(const latent_inputs& in, const Cache& cache,
              const qp::attention_options& options = {}) {
  const qp::latent_factors factors(in.u_k.view(), in.u_v.view(), in.n_kv_heads);
  matrix y(in.queries, in.q.cols(), 7.0f);
  qp::latent_attention(in.q.view(), cache, factors, y.view(), qp::serial{}, options);
  return y;
}

qp::rope_table table_for(std::size_t head_dim, std::size_t tokens) {
  return {head_dim, tokens, 1e4f};
}

using int4_channels = qp::quant<qp::int4, qp::per_group<32>, qp::scale<qp::fp16>>;
using uint3_minimum =
    qp::quant<qp::uint3, qp::per_group<32>, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
using uint8_zero = qp::quant<qp::uint8, qp::per_token, qp::scale<qp::fp32>, qp::zero<qp::uint8>>;

}  // namespace

TEMPLATE_TEST_CASE("latent_attention: keys and values rebuilt from what the cache stores",
                   "[nn][latent]", qp::fp32, qp::fp16, qp::bf16,
                   (qp::quant<qp::int8, qp::per_token>), int4_channels, uint3_minimum, uint8_zero,
                   (qp::quant<qp::int5, qp::per_token, qp::scale<qp::fp16>>),
                   (qp::quant<qp::fp8_e4m3, qp::per_group<64>>),
                   (qp::quant<qp::nf4, qp::per_group<16>>), qp::mxfp4, qp::nvfp4) {
  // Ranks that are no multiple of 16, shorter and longer than what is decoded at once.
  for (const std::size_t rank : {5u, 100u, 300u}) {
    latent_inputs in{2, 24, 3, rank, 5, 83};
    const auto cache = filled<qp::latent_cache<TestType>>(in);
    in.c = stored_rows<TestType>(in.c);
    const qp::rope_table rope = table_for(24, 83);
    for (const bool rotates : {true, false}) {
      CAPTURE(rank, rotates);
      latent_options options;
      options.rope = rotates ? &rope : nullptr;
      check_latent_attention(expect_latent_attention(in, options),
                             attend(in, cache, {.rope = options.rope}));
    }
  }
}

TEST_CASE("latent_attention: heads, rows and contexts of many shapes", "[nn][latent]") {
  const latent_inputs shapes[] = {
      {1, 1, 1, 1, 1, 1},       {3, 2, 1, 17, 1, 16},   {5, 13, 2, 40, 4, 65},
      {2, 256, 1, 33, 2, 20},   {7, 20, 1, 64, 1, 700}, {1, 16, 1, 48, 250, 300},
      {2, 32, 7, 260, 30, 130}, {1, 8, 4, 4096, 3, 18}, {4, 16, 8, 31, 100, 100},
  };
  for (const latent_inputs& in : shapes) {
    const auto cache = filled<qp::latent_cache<qp::fp32>>(in);
    const qp::rope_table rope = table_for(in.head_dim / 2 * 2, in.tokens);
    for (int choice = 0; choice < 3; ++choice) {
      if (in.head_dim % 2 != 0 && choice < 2) continue;
      INFO(in.n_kv_heads << " heads of " << in.head_dim << ", rank " << in.rank << ", "
                         << in.queries << " of " << in.tokens << " tokens, choice " << choice);
      latent_options options;
      options.rope = choice < 2 ? &rope : nullptr;
      options.pairing = choice == 0 ? qp::rope_pairing::half : qp::rope_pairing::interleaved;
      check_latent_attention(expect_latent_attention(in, options),
                             attend(in, cache, {.rope = options.rope, .pairing = options.pairing}),
                             in.rank > 1000 ? 4.0 : 1.0);
    }
  }
}

TEST_CASE("latent_attention: windows, sinks, scale, soft cap and bias are those of the formula",
          "[nn][latent]") {
  const latent_inputs in{2, 16, 2, 40, 37, 150};
  matrix bias = random_matrix(in.queries, in.tokens, 5);
  for (std::size_t i = 0; i < in.queries; ++i) {
    for (std::size_t t = i; t < in.tokens; t += 7) {
      bias(i, t) = -std::numeric_limits<float>::infinity();
    }
  }
  const std::vector<float> logits{0.5f, -1.0f, 3.0f, 10.0f};
  const auto cache = filled<qp::latent_cache<qp::fp32>>(in);
  const qp::rope_table rope = table_for(16, 150);
  for (int choice = 0; choice < 128; ++choice) {
    qp::attention_options options;
    latent_options wanted;
    options.is_causal = wanted.is_causal = (choice & 1) == 0;
    if ((choice & 2) != 0) options.window = wanted.window = 21;
    if ((choice & 4) != 0) wanted.scale = options.scale = 0.5f;
    if ((choice & 8) != 0) wanted.soft_cap = options.soft_cap = 2.5f;
    if ((choice & 16) != 0) options.sinks = wanted.sinks = logits;
    if ((choice & 32) != 0) {
      options.bias = bias.view();
      wanted.bias = &bias;
    }
    if ((choice & 64) != 0) options.rope = wanted.rope = &rope;
    INFO("choice " << choice);
    check_latent_attention(expect_latent_attention(in, wanted), attend(in, cache, options), 2.0);
  }
}

TEST_CASE("latent_attention: long contexts are cut by shape, so threads change nothing",
          "[nn][latent]") {
  const latent_inputs in{6, 16, 2, 24, 2, 3000};
  const auto cache = filled<qp::latent_cache<qp::fp16>>(in);
  latent_inputs stored = in;
  stored.c = stored_rows<qp::fp16>(in.c);
  const qp::rope_table rope = table_for(16, 3000);
  const qp::latent_factors factors(in.u_k.view(), in.u_v.view(), in.n_kv_heads);
  for (const std::size_t window : {0u, 1111u}) {
    latent_options wanted;
    wanted.rope = &rope;
    wanted.window = window;
    wanted.sinks = {0.5f, 1.5f, -1.0f, 2.0f, 0.0f, 4.0f, 0.5f, 1.5f, -1.0f, 2.0f, 0.0f, 4.0f};
    const qp::attention_options options{.window = window, .sinks = wanted.sinks, .rope = &rope};
    const matrix one = attend(in, cache, options);
    check_latent_attention(expect_latent_attention(stored, wanted), one);
    for (const std::size_t threads : {2u, 3u}) {
      qp::thread_pool pool(threads);
      matrix many(2, in.q.cols());
      qp::latent_attention(in.q.view(), cache, factors, many.view(), pool, options);
      CHECK(many.values() == one.values());
    }
    // A workspace that has grown to the call is all it needs.
    qp::workspace scratch;
    matrix again(2, in.q.cols());
    qp::latent_attention(in.q.view(), cache, factors, again.view(), qp::serial{}, options, scratch);
    const std::size_t bytes = scratch.bytes();
    qp::latent_attention(in.q.view(), cache, factors, again.view(), qp::serial{}, options, scratch);
    CHECK(scratch.bytes() == bytes);
    CHECK(again.values() == one.values());
  }
}

TEST_CASE("latent_cache: decoding step by step, truncating and appending again is the same",
          "[nn][latent]") {
  using spec = qp::quant<qp::int8, qp::per_group<32>>;
  const latent_inputs in{2, 16, 2, 50, 1, 90};
  const qp::rope_table rope = table_for(16, 90);
  const qp::latent_factors factors(in.u_k.view(), in.u_v.view(), 2);
  const matrix all = attend(in, filled<qp::latent_cache<spec>>(in), {.rope = &rope});
  qp::latent_cache<spec> cache(50, 90);
  const matrix other = random_matrix(90, 50, 9);
  cache.append(in.c.view().rows(0, 33));
  cache.append(other.view().rows(0, 57));
  CHECK(cache.length() == 90);
  cache.truncate(33);
  for (std::size_t t = 33; t < 90; ++t) cache.append(in.c.view().rows(t, 1));
  CHECK(attend(in, cache, {.rope = &rope}).values() == all.values());
  // Tokens that were forgotten are not seen, though they lie in the last panel.
  cache.append(other.view().rows(0, 0));
  cache.truncate(37);
  latent_inputs shorter{2, 16, 2, 50, 1, 37};
  shorter.c = tokens_of(in.c, 0, 37);
  CHECK(attend(shorter, cache, {.rope = &rope}).values() ==
        attend(shorter, filled<qp::latent_cache<spec>>(shorter), {.rope = &rope}).values());
}

TEST_CASE("latent_cache: pages hold what memory of its own holds, and forks share them",
          "[nn][latent]") {
  using paged = qp::latent_cache<qp::fp16, qp::layout<qp::paged<16>>>;
  const latent_inputs in{2, 16, 1, 40, 3, 70};
  const auto pool = std::make_shared<qp::block_pool>(7, paged::block_bytes(40));
  {
    // What an earlier holder left is NaN as a half.
    std::vector<std::byte*> blocks(7);
    pool->take(7, blocks.data());
    for (std::byte* block : blocks) std::memset(block, 0xff, pool->block_bytes());
    for (const std::byte* block : blocks) pool->drop(block);
  }
  paged cache(pool, 40);
  cache.append(in.c.view());
  CHECK(pool->free_blocks() == 2);
  const matrix plain = attend(in, filled<qp::latent_cache<qp::fp16>>(in));
  CHECK(attend(in, cache).values() == plain.values());
  {
    paged fork = cache;
    CHECK(pool->free_blocks() == 2);
    fork.truncate(68);
    fork.append(in.c.view().rows(0, 2));
    CHECK(pool->free_blocks() == 1);
    CHECK(attend(in, cache).values() == plain.values());
    CHECK(attend(in, fork).values() != plain.values());
    CHECK_THROWS_AS(fork.append(in.c.view().rows(0, 60)), qp::out_of_blocks);
    CHECK(fork.length() == 70);
  }
  CHECK(pool->free_blocks() == 2);
  CHECK_THROWS_WITH(paged(pool, 400), contains("expected blocks of"));
  CHECK_THROWS_WITH(paged(nullptr, 40), contains("no pool of blocks"));
}

TEST_CASE("latent_cache: a codebook that all rows share", "[nn][latent]") {
  using spec = qp::quant<qp::codebook<4, qp::fp16, qp::codebook_scope::tensor>, qp::per_token,
                         qp::scale<qp::fp16>>;
  const std::vector<float> entries{-1.0f, -0.25f, 0.25f, 1.0f};
  latent_inputs in{1, 16, 1, 20, 2, 30};
  // Rows of entries times a power of two are stored exactly.
  for (std::size_t t = 0; t < 30; ++t) {
    for (std::size_t k = 0; k < 20; ++k) in.c(t, k) = entries[(t + 3 * k) % 4] * 2.0f;
  }
  qp::latent_cache<spec> cache(20, 30, entries);
  cache.append(in.c.view());
  check_latent_attention(expect_latent_attention(in, {}), attend(in, cache));
  CHECK_THROWS_WITH(qp::latent_cache<spec>(20, 30), contains("0 codebook entries, expected 4"));
}

TEST_CASE("latent_cache: what does not fit is refused", "[nn][latent]") {
  using cache_type = qp::latent_cache<qp::quant<qp::int8, qp::per_token>>;
  CHECK_THROWS_WITH(cache_type(0, 4), contains("a rank of 0, expected 1..4096"));
  CHECK_THROWS_WITH(cache_type(4097, 4), contains("a rank of 4097"));
  cache_type cache(16, 4);
  matrix c(2, 16, 1.0f);
  CHECK_THROWS_WITH(cache.append(matrix(2, 15).view()),
                    contains("shape [2, 15], expected [2, 16]"));
  cache.append(c.view());
  CHECK_THROWS_WITH(cache.append(matrix(3, 16).view()),
                    contains("no room for 3 tokens after 2, capacity 4"));
  CHECK_THROWS_WITH(cache.truncate(3), contains("cannot truncate to 3 tokens, it holds 2"));
  c(1, 3) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(cache.append(c.view()), contains("row 1 holds a number that is not finite"));
  c(1, 3) = 1e5f;
  CHECK_THROWS_AS(cache.append(c.view()), qp::value_error);
  CHECK(cache.length() == 2);
}

TEST_CASE("latent_attention: factors and options that do not fit are refused", "[nn][latent]") {
  const latent_inputs in{2, 16, 1, 24, 2, 5};
  CHECK_THROWS_WITH(qp::latent_factors(in.u_k.view(), matrix(24, 16).view(), 2),
                    contains("u_v: shape [24, 16], expected [24, 32]"));
  CHECK_THROWS_WITH(qp::latent_factors(in.u_k.view(), in.u_v.view(), 3), contains("multiple of 3"));
  CHECK_THROWS_WITH(qp::latent_factors(in.u_k.view(), in.u_v.view(), 0), contains("at least one"));
  CHECK_THROWS_WITH(qp::latent_factors(matrix(4, 257).view(), matrix(4, 257).view(), 1),
                    contains("heads of 257"));
  CHECK_THROWS_WITH(qp::latent_factors(matrix(4097, 1).view(), matrix(4097, 1).view(), 1),
                    contains("a rank of 4097"));
  matrix broken = in.u_v;
  broken(3, 5) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_WITH(qp::latent_factors(in.u_k.view(), broken.view(), 2),
                    contains("u_v (3, 5) is not finite"));

  const qp::latent_factors factors(in.u_k.view(), in.u_v.view(), 2);
  CHECK(factors.rank() == 24);
  const auto cache = filled<qp::latent_cache<qp::fp32>>(in);
  matrix y(2, 32, 7.0f);
  const auto call = [&](const matrix& q, const qp::attention_options& options = {}) {
    qp::latent_attention(q.view(), cache, factors, y.view(), qp::serial{}, options);
  };
  CHECK_THROWS_WITH(call(matrix(2, 48)), contains("q has 48 columns, expected a multiple of 32"));
  CHECK_THROWS_WITH(call(matrix(1, 32)), contains("y: shape [2, 32], expected [1, 32]"));
  const std::vector<float> three(3);
  CHECK_THROWS_WITH(call(in.q, {.sinks = three}), contains("sinks: 3 logits, expected 2"));
  const matrix bias(2, 4);
  CHECK_THROWS_WITH(call(in.q, {.bias = bias.view()}),
                    contains("bias: shape [2, 4], expected [2, 5]"));
  qp::rope_table rope(16, 4, 1e4f);
  CHECK_THROWS_WITH(call(in.q, {.rope = &rope}), contains("up to position 4"));
  const qp::latent_cache<qp::fp32> other(23, 5);
  CHECK_THROWS_WITH(qp::latent_attention(in.q.view(), other, factors, y.view()),
                    contains("factors of rank 24, expected 23"));
  const qp::latent_cache<qp::fp32> empty(24, 5);
  CHECK_THROWS_WITH(qp::latent_attention(in.q.view(), empty, factors, y.view()),
                    contains("2 queries, the cache holds 0 tokens"));
  CHECK(y.values() == std::vector<float>(64, 7.0f));
  // No queries are no work.
  matrix none(0, 32);
  qp::latent_attention(none.view(), cache, factors, none.view());
}
