// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <memory>
#include <vector>

#include "qompose/core/thread_pool.hpp"
#include "qompose/nn/attention.hpp"
#include "support/attention_reference.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

struct inputs {
  std::size_t n_kv_heads, head_dim, group, queries, tokens;
  matrix q = random_matrix(queries, n_kv_heads* group* head_dim, 1);
  matrix k = random_matrix(tokens, n_kv_heads* head_dim, 2);
  matrix v = random_matrix(tokens, n_kv_heads* head_dim, 3);
};

template <class Cache>
Cache filled(const inputs& in) {
  Cache cache(in.n_kv_heads, in.head_dim, in.tokens);
  cache.append(in.k.view(), in.v.view());
  return cache;
}

/// Keys or queries, rotated to positions.
matrix rotated(const matrix& x, const qp::rope_table& table, std::size_t position,
               qp::rope_pairing pairing) {
  matrix out = x;
  qp::apply_rope(table, pairing, position, out.view());
  return out;
}

}  // namespace

TEST_CASE("attention: windows, sinks, scale, soft cap and bias are those of the formula",
          "[nn][attention]") {
  const inputs in{2, 48, 3, 37, 150};
  matrix bias = random_matrix(in.queries, in.tokens, 4);
  for (std::size_t i = 0; i < in.queries; ++i) {
    for (std::size_t t = i; t < in.tokens; t += 7) {
      bias(i, t) = -std::numeric_limits<float>::infinity();
    }
  }
  const std::vector<float> logits{0.5f, -1.0f, 3.0f, 0.0f, 10.0f, -20.0f};
  const auto cache = filled<qp::kv_cache<>>(in);
  for (int choice = 0; choice < 64; ++choice) {
    qp::attention_options options;
    reference_options wanted;
    options.is_causal = wanted.is_causal = (choice & 1) == 0;
    if ((choice & 2) != 0) options.window = wanted.window = 21;
    if ((choice & 4) != 0) wanted.scale = options.scale = 0.25f;
    if ((choice & 8) != 0) wanted.soft_cap = options.soft_cap = 2.5f;
    if ((choice & 16) != 0) {
      options.sinks = logits;
      wanted.sink_logits.assign(logits.begin(), logits.end());
    }
    if ((choice & 32) != 0) {
      options.bias = bias.view();
      wanted.bias = &bias;
    }
    INFO("choice " << choice);
    matrix y(in.queries, in.q.cols());
    qp::attention(in.q.view(), cache, y.view(), qp::serial{}, options);
    check_attention(expect_attention<qp::kv_cache<>>(2, in.q, in.k, in.v, wanted), y, 2.0);
  }
}

TEST_CASE("attention: a query that sees nothing gives zeros", "[nn][attention]") {
  const inputs in{1, 16, 1, 2, 5};
  const auto cache = filled<qp::kv_cache<>>(in);
  matrix bias(2, 5, 0.0f);
  for (std::size_t t = 0; t < 5; ++t) bias(1, t) = -std::numeric_limits<float>::infinity();
  matrix y(2, 16, 7.0f);
  qp::attention(in.q.view(), cache, y.view(), qp::serial{}, {.bias = bias.view()});
  for (std::size_t d = 0; d < 16; ++d) CHECK(y(1, d) == 0.0f);
  CHECK(y(0, 0) != 0.0f);
}

TEST_CASE("attention: options that do not fit are refused", "[nn][attention]") {
  const inputs in{1, 16, 2, 2, 5};
  const auto cache = filled<qp::kv_cache<>>(in);
  matrix y(2, 32, 7.0f);
  const std::vector<float> three(3);
  CHECK_THROWS_WITH(qp::attention(in.q.view(), cache, y.view(), qp::serial{}, {.sinks = three}),
                    contains("sinks: 3 logits, expected 2"));
  const matrix bias(2, 4);
  CHECK_THROWS_WITH(
      qp::attention(in.q.view(), cache, y.view(), qp::serial{}, {.bias = bias.view()}),
      contains("bias: shape [2, 4], expected [2, 5]"));
  using before = qp::kv_cache<qp::keys<qp::fp32, qp::before_rope>>;
  const auto unrotated = filled<before>(in);
  CHECK_THROWS_WITH(qp::attention(in.q.view(), unrotated, y.view()), contains("has no table"));
  qp::rope_table rope(16, 4, 1e4f);
  CHECK_THROWS_WITH(qp::attention(in.q.view(), unrotated, y.view(), qp::serial{}, {.rope = &rope}),
                    contains("up to position 4"));
  CHECK(y.values() == std::vector<float>(64, 7.0f));
}

TEST_CASE("attention: long contexts are cut by shape, so threads change nothing",
          "[nn][attention]") {
  const inputs in{2, 32, 4, 3, 5000};
  const auto cache = filled<qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>>>(in);
  matrix one(3, in.q.cols());
  qp::attention(in.q.view(), cache, one.view());
  check_attention(
      expect_attention<qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>>>(2, in.q, in.k, in.v),
      one);
  for (const std::size_t threads : {2u, 3u}) {
    qp::thread_pool pool(threads);
    matrix many(3, in.q.cols());
    qp::attention(in.q.view(), cache, many.view(), pool);
    CHECK(many.values() == one.values());
  }
  // A workspace that has grown to the call is all it needs.
  qp::workspace scratch;
  matrix again(3, in.q.cols());
  qp::attention(in.q.view(), cache, again.view(), qp::serial{}, {}, scratch);
  const std::size_t bytes = scratch.bytes();
  qp::attention(in.q.view(), cache, again.view(), qp::serial{}, {}, scratch);
  CHECK(scratch.bytes() == bytes);
  CHECK(again.values() == one.values());
}

TEST_CASE("attention: the merged parts of a worked example", "[nn][attention]") {
  // s = [1, 3, 2, 5], V = [[1,0],[0,1],[2,2],[-1,1]] gives [-.73299, 1.02615].
  qp::kv_cache<> cache(1, 2, 4);
  const matrix k(4, 2, {1, 0, 3, 0, 2, 0, 5, 0});
  const matrix v(4, 2, {1, 0, 0, 1, 2, 2, -1, 1});
  cache.append(k.view(), v.view());
  const matrix q(1, 2, {1, 0});
  matrix y(1, 2);
  qp::attention(q.view(), cache, y.view(), qp::serial{}, {.scale = 1.0f});
  CHECK(std::abs(y(0, 0) + 0.73299f) < 1e-5f);
  CHECK(std::abs(y(0, 1) - 1.02615f) < 1e-5f);
}

TEMPLATE_TEST_CASE("attention: keys before_rope are those after it, to rounding", "[nn][attention]",
                   (qp::kv_cache<qp::keys<qp::fp32, qp::before_rope>>),
                   (qp::kv_cache<qp::keys<qp::fp32, qp::before_rope, qp::transform<qp::hadamard>>>),
                   (qp::kv_cache<qp::keys<qp::fp32, qp::before_rope>, qp::exact_first<3>>)) {
  const inputs in{2, 32, 2, 9, 100};
  qp::rope_table rope(32, 100, 1e4f);
  for (const auto pairing : {qp::rope_pairing::half, qp::rope_pairing::interleaved}) {
    const auto cache = filled<TestType>(in);
    matrix y(9, in.q.cols());
    qp::attention(in.q.view(), cache, y.view(), qp::serial{}, {.rope = &rope, .pairing = pairing});
    qp::kv_cache<> after(2, 32, 100);
    after.append(rotated(in.k, rope, 0, pairing).view(), in.v.view());
    matrix wanted(9, in.q.cols());
    qp::attention(rotated(in.q, rope, 91, pairing).view(), after, wanted.view());
    double worst = 0.0;
    for (std::size_t i = 0; i < y.values().size(); ++i) {
      worst = std::fmax(worst, std::abs(static_cast<double>(y.values()[i] - wanted.values()[i])));
    }
    CHECK(worst < 2e-5);
  }
}

TEST_CASE("attention: quantized keys before_rope keep outlier channels apart", "[nn][attention]") {
  // A channel with a constant offset costs scales per channel nothing before it is rotated.
  inputs in{1, 64, 1, 8, 256};
  for (std::size_t t = 0; t < in.tokens; ++t) {
    in.k(t, 3) += 12.0f;
    in.k(t, 40) -= 9.0f;
  }
  qp::rope_table rope(64, 256, 1e4f);
  using spec = qp::quant<qp::uint3, qp::per_channel, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>;
  const matrix turned_k = rotated(in.k, rope, 0, qp::rope_pairing::half);
  const matrix turned_q = rotated(in.q, rope, 248, qp::rope_pairing::half);
  qp::kv_cache<> exact(1, 64, 256);
  exact.append(turned_k.view(), in.v.view());
  matrix wanted(8, 64);
  qp::attention(turned_q.view(), exact, wanted.view());
  const auto error = [&](const matrix& y) {
    double sum = 0.0;
    for (std::size_t i = 0; i < y.values().size(); ++i) {
      sum += std::pow(static_cast<double>(y.values()[i] - wanted.values()[i]), 2.0);
    }
    return sum;
  };
  matrix before(8, 64);
  matrix after(8, 64);
  qp::kv_cache<qp::keys<spec, qp::before_rope, qp::residual<128>>> cache(1, 64, 256);
  cache.append(in.k.view(), in.v.view());
  qp::attention(in.q.view(), cache, before.view(), qp::serial{}, {.rope = &rope});
  qp::kv_cache<qp::keys<spec, qp::residual<128>>> rotated_cache(1, 64, 256);
  rotated_cache.append(turned_k.view(), in.v.view());
  qp::attention(turned_q.view(), rotated_cache, after.view());
  CHECK(error(before) < 0.7 * error(after));
}

TEST_CASE("attention: a window that evicts gives what a mask gives", "[nn][attention]") {
  const inputs in{2, 32, 2, 300, 300};
  using windowed = qp::kv_cache<qp::keys<qp::fp32>, qp::eviction<qp::window<50>>>;
  qp::kv_cache<> all(2, 32, 300);
  windowed cache(2, 32, windowed::capacity_for(300, 8));
  CHECK(cache.capacity() == 57);
  std::size_t most = 0;
  for (std::size_t t = 0; t < 300;) {
    const std::size_t n = std::min<std::size_t>(1 + t % 8, 300 - t);
    all.append(in.k.view().rows(t, n), in.v.view().rows(t, n));
    cache.append(in.k.view().rows(t, n), in.v.view().rows(t, n));
    CHECK(cache.length() == t + n);
    most = std::max(most, cache.size());
    matrix masked(n, in.q.cols());
    matrix evicted(n, in.q.cols());
    qp::attention(in.q.view().rows(t, n), all, masked.view(), qp::serial{}, {.window = 50});
    qp::attention(in.q.view().rows(t, n), cache, evicted.view());
    double worst = 0.0;
    for (std::size_t i = 0; i < masked.values().size(); ++i) {
      worst = std::fmax(worst, std::abs(static_cast<double>(masked.values()[i]) -
                                        static_cast<double>(evicted.values()[i])));
    }
    // Tiles begin elsewhere, so sums are rounded elsewhere.
    CHECK(worst < 1e-5);
    t += n;
  }
  CHECK(most == 57);
  CHECK_THROWS_WITH(cache.truncate(100), contains("have been dropped"));
  CHECK_THROWS_WITH(cache.append(in.k.view().rows(0, 20), in.v.view().rows(0, 20)),
                    contains("no room for 20 tokens after 49, capacity 57"));
  CHECK(cache.length() == 300);
}

TEST_CASE("attention: StreamingLLM sees sinks and a window, at positions within the cache",
          "[nn][attention]") {
  // Sinks 4, window 8, token 19: tokens 0..3 and 12..19 at positions 0..11, the query at 11.
  const inputs in{1, 16, 1, 40, 40};
  using streaming =
      qp::kv_cache<qp::keys<qp::fp32, qp::before_rope>, qp::eviction<qp::sinks_and_window<4, 8>>>;
  qp::rope_table rope(16, 128, 1e4f);
  streaming cache(1, 16, streaming::capacity_for(1000, 3));
  for (std::size_t t = 0; t < 40;) {
    const std::size_t n = std::min<std::size_t>(1 + t % 3, 40 - t);
    cache.append(in.k.view().rows(t, n), in.v.view().rows(t, n));
    matrix y(n, 16);
    qp::attention(in.q.view().rows(t, n), cache, y.view(), qp::serial{}, {.rope = &rope});
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t at = t + i;
      matrix kept_k(0, 16);
      std::vector<float> k_rows;
      std::vector<float> v_rows;
      for (std::size_t j = 0; j <= at; ++j) {
        if (j >= 4 && j + 8 <= at) continue;
        k_rows.insert(k_rows.end(), in.k.view().row(j), in.k.view().row(j) + 16);
        v_rows.insert(v_rows.end(), in.v.view().row(j), in.v.view().row(j) + 16);
      }
      const std::size_t count = k_rows.size() / 16;
      const matrix keys = rotated(matrix(count, 16, k_rows), rope, 0, qp::rope_pairing::half);
      const matrix values(count, 16, v_rows);
      const matrix query = rotated(tokens_of(in.q, at, 1), rope, count - 1, qp::rope_pairing::half);
      qp::kv_cache<> plain(1, 16, count);
      plain.append(keys.view(), values.view());
      matrix wanted(1, 16);
      qp::attention(query.view(), plain, wanted.view());
      double worst = 0.0;
      for (std::size_t d = 0; d < 16; ++d) {
        worst = std::fmax(worst, std::abs(static_cast<double>(wanted(0, d) - y(i, d))));
      }
      INFO("token " << at);
      CHECK(worst < 1e-5);
    }
    t += n;
  }
}

TEMPLATE_TEST_CASE(
    "attention: what another format left in a page is not seen", "[nn][attention]",
    (qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>, qp::layout<qp::paged<16>>>),
    (qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::quant<qp::int8, qp::per_token>>,
                  qp::layout<qp::paged<16>>>)) {
  const auto pool = std::make_shared<qp::block_pool>(1, TestType::block_bytes(32));
  // NaN as floats and halves, and so as scales.
  std::byte* block = nullptr;
  pool->take(1, &block);
  std::memset(block, 0xff, pool->block_bytes());
  pool->drop(block);
  TestType cache(pool, 1, 32);
  const matrix x(5, 32, 0.5f);
  cache.append(x.view(), x.view());
  matrix y(1, 32);
  qp::attention(x.view().rows(0, 1), cache, y.view());
  // The mean of equal values; int8 and its weights round.
  for (const float value : y.values()) CHECK(std::abs(value - 0.5f) <= 0.005f);
}
