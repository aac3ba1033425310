// SPDX-License-Identifier: Apache-2.0

#include "qompose/nn/attention.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <tuple>
#include <vector>

#include "kernels/on_each_target.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/attention_reference.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// Caches of floats and of integers on either side; nn/cache_formats_test.cpp has all the others.
using caches = std::tuple<qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>>,
                          qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::bf16>>,
                          qp::kv_cache<qp::keys<qp::w4_g32>, qp::values<qp::a8_token>>>;

struct attention_shape {
  std::size_t head_dim;
  std::size_t group;  ///< query heads a KV head
  std::size_t queries;
  std::size_t tokens;
};

/// Head sizes inside and outside multiples of 16, tokens around the tiles of 16 and 64, rows of
/// queries around the 24 of a piece; pairs, not the full product.
const std::vector<attention_shape> shapes{
    {1, 1, 1, 1},    {20, 3, 2, 2},   {32, 1, 1, 15},   {32, 4, 7, 16},   {48, 3, 1, 17},
    {64, 1, 40, 63}, {64, 3, 7, 64},  {64, 4, 2, 65},   {64, 3, 40, 200}, {80, 1, 2, 200},
    {80, 4, 1, 63},  {128, 3, 7, 65}, {128, 1, 1, 200}, {256, 1, 2, 64},  {256, 4, 7, 33},
    {33, 1, 24, 64}, {17, 4, 6, 127}, {64, 1, 25, 129}, {96, 3, 40, 40}};

constexpr std::size_t n_kv_heads = 2;

/// The cache's own answers to some queries, by which two caches are compared.
template <class Cache, class Isa>
std::vector<float> answers(const Cache& cache, const matrix& q) {
  matrix y(q.rows(), q.cols());
  qp::attention<qp::serial, Isa>(q.view(), cache, y.view());
  return y.values();
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("attention: agrees with the formula in double on every target",
                        "[kernels][attention]", caches) {
  for (const attention_shape& s : shapes) {
    const std::size_t width = n_kv_heads * s.head_dim;
    const matrix q = random_matrix(s.queries, width * s.group, s.head_dim + s.tokens);
    const matrix k = random_matrix(s.tokens, width, 2 * s.tokens);
    const matrix v = random_matrix(s.tokens, width, 3 * s.tokens);
    const expected_attention expected = expect_attention<TestType>(n_kv_heads, q, k, v);
    on_each_target([&]<class Isa>() {
      INFO("head_dim " << s.head_dim << ", group " << s.group << ", queries " << s.queries
                       << ", tokens " << s.tokens);
      TestType cache(n_kv_heads, s.head_dim, s.tokens + 3);
      cache.template append<Isa>(k.view(), v.view());
      matrix y(s.queries, width * s.group, std::numeric_limits<float>::quiet_NaN());
      qp::attention<qp::serial, Isa>(q.view(), cache, y.view());
      check_attention(expected, y);
    });
  }
}

TEMPLATE_LIST_TEST_CASE("attention: one go, token by token and after a truncation are the same",
                        "[kernels][attention]", caches) {
  const attention_shape s{20, 3, 70, 70};
  const std::size_t width = n_kv_heads * s.head_dim;
  const matrix q = random_matrix(70, width * s.group, 1);
  const matrix k = random_matrix(70, width, 2);
  const matrix v = random_matrix(70, width, 3);
  const matrix other = random_matrix(9, width, 4);
  const expected_attention expected = expect_attention<TestType>(n_kv_heads, q, k, v);
  on_each_target([&]<class Isa>() {
    TestType at_once(n_kv_heads, s.head_dim, 80);
    at_once.template append<Isa>(k.view(), v.view());

    TestType stepwise(n_kv_heads, s.head_dim, 80);
    matrix y(70, q.cols());
    for (std::size_t t = 0; t < 70; ++t) {
      stepwise.template append<Isa>(k.view().rows(t, 1), v.view().rows(t, 1));
      qp::attention<qp::serial, Isa>(q.view().rows(t, 1), stepwise, y.view().rows(t, 1));
    }
    check_attention(expected, y);
    CHECK((answers<TestType, Isa>(stepwise, q) == answers<TestType, Isa>(at_once, q)));

    // Other tokens in between leave no trace in what is seen.
    TestType truncated(n_kv_heads, s.head_dim, 80);
    truncated.template append<Isa>(k.view().rows(0, 62), v.view().rows(0, 62));
    truncated.template append<Isa>(other.view(), other.view());
    truncated.truncate(62);
    CHECK(truncated.size() == 62);
    matrix again(70, q.cols());
    truncated.template append<Isa>(k.view().rows(62, 8), v.view().rows(62, 8));
    qp::attention<qp::serial, Isa>(q.view(), truncated, again.view());
    matrix once(70, q.cols());
    qp::attention<qp::serial, Isa>(q.view(), at_once, once.view());
    CHECK(again.values() == once.values());
  });
}

TEST_CASE("attention: huge scores and a wide spread of them stay finite", "[kernels][attention]") {
  const std::size_t tokens = 130;
  matrix k = random_matrix(tokens, 32, 6);
  for (std::size_t t = 0; t < tokens; ++t) {
    // Peaks that rise and fall from tile to tile.
    for (std::size_t d = 0; d < 32; ++d) k(t, d) *= t == 100 ? 1e4f : (t % 7 == 0 ? 100.0f : 1.0f);
  }
  const matrix v = random_matrix(tokens, 32, 7);
  const matrix q = random_matrix(5, 32, 8);
  on_each_target([&]<class Isa>() {
    qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>> cache(1, 32, tokens);
    cache.append<Isa>(k.view(), v.view());
    matrix y(5, 32);
    qp::attention<qp::serial, Isa>(q.view(), cache, y.view());
    bool within = true;
    for (std::size_t i = 0; i < 5; ++i) {
      for (std::size_t d = 0; d < 32; ++d) {
        // A mean of values lies among them.
        float low = v(0, d);
        float high = v(0, d);
        for (std::size_t t = 0; t < tokens; ++t) {
          low = std::min(low, v(t, d));
          high = std::max(high, v(t, d));
        }
        within = within && y(i, d) >= low - 1e-4f && y(i, d) <= high + 1e-4f;
      }
    }
    CHECK(within);
  });
}

#if defined(_OPENMP)
TEST_CASE("attention: the result does not depend on the threads", "[kernels][attention]") {
  const matrix q = random_matrix(40, 2 * 3 * 48, 9);
  const matrix k = random_matrix(150, 2 * 48, 10);
  const matrix v = random_matrix(150, 2 * 48, 11);
  qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::bf16>> cache(2, 48, 150);
  cache.append(k.view(), v.view());
  matrix one(40, q.cols());
  qp::attention(q.view(), cache, one.view());
  for (const int threads : {2, 3, 5}) {
    matrix many(40, q.cols());
    qp::attention(q.view(), cache, many.view(), qp::openmp{threads});
    CHECK(many.values() == one.values());
  }
}
#endif
