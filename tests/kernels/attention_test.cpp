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
#include "policy_lists.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// Caches for every way of storing a side, and one that mixes them.
using caches = std::tuple<qp::kv_cache<>, qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>>,
                          qp::kv_cache<qp::keys<qp::bf16>, qp::values<qp::a8_token>>,
                          qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::bf16>>,
                          qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::a8_token>>>;

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

/// What a side of the cache makes of the rows of one head.
template <class Spec>
matrix stored(const matrix& x, std::size_t head, std::size_t head_dim) {
  matrix out(x.rows(), head_dim);
  for (std::size_t t = 0; t < x.rows(); ++t) {
    const float* row = x.view().row(t) + head * head_dim;
    if constexpr (qp::number_format<Spec>) {
      for (std::size_t d = 0; d < head_dim; ++d) out(t, d) = Spec::decode(Spec::encode(row[d]));
    } else {
      float peak = 0.0f;
      for (std::size_t d = 0; d < head_dim; ++d) peak = std::max(peak, std::abs(row[d]));
      const float scale = peak > 0.0f ? peak / 127.0f : 1.0f;
      for (std::size_t d = 0; d < head_dim; ++d) out(t, d) = scale * std::nearbyint(row[d] / scale);
    }
  }
  return out;
}

/// Attention in double over what the cache stores, with a bound for each element.
struct expected_attention {
  std::vector<double> y;
  std::vector<double> bound;
};

template <class Cache>
expected_attention reference(const attention_shape& s, const matrix& q, const matrix& k,
                             const matrix& v) {
  expected_attention expected;
  expected.y.resize(q.values().size());
  expected.bound.resize(q.values().size());
  const double factor = 1.0 / std::sqrt(static_cast<double>(s.head_dim));
  for (std::size_t h = 0; h < n_kv_heads * s.group; ++h) {
    const matrix keys = stored<typename Cache::key_spec>(k, h / s.group, s.head_dim);
    const matrix values = stored<typename Cache::value_spec>(v, h / s.group, s.head_dim);
    for (std::size_t i = 0; i < s.queries; ++i) {
      const std::size_t visible = s.tokens - s.queries + i + 1;
      std::vector<double> scores(visible);
      double magnitude = 0.0;
      double peak = -std::numeric_limits<double>::infinity();
      for (std::size_t t = 0; t < visible; ++t) {
        double size = 0.0;
        for (std::size_t d = 0; d < s.head_dim; ++d) {
          const double product = static_cast<double>(q(i, h * s.head_dim + d)) *
                                 static_cast<double>(keys(t, d)) * factor;
          scores[t] += product;
          size += std::abs(product);
        }
        magnitude = std::fmax(magnitude, size);
        peak = std::fmax(peak, scores[t]);
      }
      double total = 0.0;
      for (double& score : scores) total += score = std::exp(score - peak);
      // A score errs by a product and a sum each term, and exp turns that into a relative error;
      // the weight, its sum and the weighted sum of values round once each token or so, the
      // exponential errs by some units and the division and the running peak by a few more.
      const double terms = 2.0 * static_cast<double>(s.head_dim) + 4.0;
      const double relative =
          2.0 * terms * 0x1p-24 * magnitude + (3.0 * static_cast<double>(visible) + 32.0) * 0x1p-24;
      for (std::size_t d = 0; d < s.head_dim; ++d) {
        double sum = 0.0;
        double size = 0.0;
        for (std::size_t t = 0; t < visible; ++t) {
          const double part = scores[t] / total * static_cast<double>(values(t, d));
          sum += part;
          size += std::abs(part);
        }
        expected.y[i * q.cols() + h * s.head_dim + d] = sum;
        expected.bound[i * q.cols() + h * s.head_dim + d] = relative * size;
      }
    }
  }
  return expected;
}

void check(const expected_attention& expected, const matrix& y) {
  bool right = true;
  for (std::size_t i = 0; i < expected.y.size(); ++i) {
    right =
        right && std::abs(static_cast<double>(y.values()[i]) - expected.y[i]) <= expected.bound[i];
  }
  CHECK(right);
}

/// The bytes of the keys' and values' codes and scales.
template <class Cache>
std::vector<std::byte> bytes_of(const Cache& cache) {
  const qp::detail::attention_arguments a = cache.attention_arguments();
  const std::size_t tokens = cache.n_kv_heads() * a.capacity;
  std::vector<std::byte> bytes;
  const auto take = [&](const void* p, std::size_t n) {
    if (p == nullptr) return;
    const auto* first = static_cast<const std::byte*>(p);
    bytes.insert(bytes.end(), first, first + n);
  };
  const auto width = [](std::size_t bits) { return bits / 8; };
  take(a.keys.codes, tokens * a.padded_dim *
                         width(qp::detail::spec_parts<typename Cache::key_spec>::element::bits));
  take(a.values.codes,
       tokens * a.padded_dim *
           width(qp::detail::spec_parts<typename Cache::value_spec>::element::bits));
  take(a.keys.scales, tokens * sizeof(float));
  take(a.values.scales, tokens * sizeof(float));
  return bytes;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("attention: agrees with the formula in double on every target",
                        "[kernels][attention]", caches) {
  for (const attention_shape& s : shapes) {
    const std::size_t width = n_kv_heads * s.head_dim;
    const matrix q = random_matrix(s.queries, width * s.group, s.head_dim + s.tokens);
    const matrix k = random_matrix(s.tokens, width, 2 * s.tokens);
    const matrix v = random_matrix(s.tokens, width, 3 * s.tokens);
    const expected_attention expected = reference<TestType>(s, q, k, v);
    on_each_target([&]<class Isa>() {
      INFO("head_dim " << s.head_dim << ", group " << s.group << ", queries " << s.queries
                       << ", tokens " << s.tokens);
      TestType cache(n_kv_heads, s.head_dim, s.tokens + 3);
      cache.template append<Isa>(k.view(), v.view());
      matrix y(s.queries, width * s.group, std::numeric_limits<float>::quiet_NaN());
      qp::attention<qp::serial, Isa>(q.view(), cache, y.view());
      check(expected, y);
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
  const expected_attention expected = reference<TestType>(s, q, k, v);
  on_each_target([&]<class Isa>() {
    TestType at_once(n_kv_heads, s.head_dim, 80);
    at_once.template append<Isa>(k.view(), v.view());

    TestType stepwise(n_kv_heads, s.head_dim, 80);
    matrix y(70, q.cols());
    for (std::size_t t = 0; t < 70; ++t) {
      stepwise.template append<Isa>(k.view().rows(t, 1), v.view().rows(t, 1));
      qp::attention<qp::serial, Isa>(q.view().rows(t, 1), stepwise, y.view().rows(t, 1));
    }
    check(expected, y);
    CHECK(bytes_of(stepwise) == bytes_of(at_once));

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

TEMPLATE_LIST_TEST_CASE("attention: each way of storing errs as its row says",
                        "[kernels][attention]", cache_specs) {
  // One token has weight 1, so attention reads its value back.
  using spec = typename TestType::spec;
  const matrix x = random_matrix(1, 64, 5);
  qp::kv_cache<qp::values<spec>> cache(1, 64, 1);
  cache.append(x.view(), x.view());
  matrix y(1, 64);
  qp::attention(x.view(), cache, y.view());
  float peak = 0.0f;
  for (const float value : x.values()) peak = std::max(peak, std::abs(value));
  bool right = true;
  for (std::size_t d = 0; d < 64; ++d) {
    const double size = std::abs(static_cast<double>(qp::quant_spec<spec> ? peak : x(0, d)));
    const double error = std::abs(static_cast<double>(y(0, d)) - static_cast<double>(x(0, d)));
    // The softmax of one score is 1 up to the exponential's error.
    right = right && error <= (TestType::bound + 4 * 0x1p-24) * size;
  }
  CHECK(right);
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
    qp::kv_cache<> cache(1, 32, tokens);
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
  qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::fp16>> cache(2, 48, 150);
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
