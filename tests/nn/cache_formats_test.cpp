// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <memory>
#include <tuple>
#include <vector>

#include "policy_lists.hpp"
#include "qompose/nn/attention.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/transforms/hadamard.hpp"
#include "support/attention_reference.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Keys, class Values, class... More>
using cache_of = qp::kv_cache<Keys, Values, More...>;
template <class Spec, class... Options>
using k = qp::keys<Spec, Options...>;
template <class Spec, class... Options>
using v = qp::values<Spec, Options...>;

/// A cache, and how many of its tokens stay exact.
/// @tparam KeyBlock  tokens that wait for scales per channel; 0 where there are none
template <class Cache, std::size_t First = 0, std::size_t KeyBlock = 0, std::size_t KeyResidual = 0,
          std::size_t ValueResidual = 0>
struct stored {
  using cache = Cache;
  static constexpr std::size_t first = First;
  static std::size_t keys_waiting(std::size_t tokens) {
    const std::size_t past = tokens - std::min(tokens, First);
    return KeyBlock > 0 ? past % KeyBlock : std::min(past, KeyResidual);
  }
  static std::size_t values_waiting(std::size_t tokens) {
    return std::min(tokens - std::min(tokens, First), ValueResidual);
  }
};

using halves_and_minima = qp::minimum<qp::fp16>;
template <class Element, class Granularity>
using affine = qp::quant<Element, Granularity, qp::scale<qp::fp16>, halves_and_minima>;
using a8_zero = qp::quant<qp::uint8, qp::per_token, qp::scale<qp::fp32>, qp::zero<qp::uint8>>;
using nf4_channel = qp::quant<qp::nf4, qp::per_channel, qp::scale<qp::fp16>>;
using int8_channel = qp::quant<qp::int8, qp::per_channel>;

// Between them: integers and floats on both sides, scales per token, group and channel, in one and
// two levels, minima and zero points, every width of codes, exact tokens first and last,
// transforms.
using plain_formats =
    std::tuple<stored<cache_of<k<qp::w4_g32>, v<qp::quant<qp::int4, qp::per_token>>>>,
               stored<cache_of<k<qp::w3_g32>, v<qp::mxfp4>>>,
               stored<cache_of<k<qp::nvfp4>, v<qp::fp8_token>>>,
               stored<cache_of<k<qp::mxfp8_e4m3>, v<qp::nvfp4>>>,
               stored<cache_of<k<qp::nf4_g64>, v<qp::w2_g32>>>,
               stored<cache_of<k<a8_zero>, v<qp::w4_minimum_g32>>>>;
using waiting_formats = std::tuple<
    stored<cache_of<k<int8_channel, qp::residual<32>>, v<qp::fp16>>, 0, 32>,
    stored<cache_of<k<affine<qp::uint2, qp::per_channel>, qp::residual<64>>,
                    v<affine<qp::uint2, qp::per_group<32>>, qp::residual<64>>>,
           0, 64, 0, 64>,
    stored<cache_of<k<nf4_channel, qp::residual<16>>, v<qp::nf4_g64, qp::residual<5>>,
                    qp::exact_first<1>>,
           1, 16, 0, 5>,
    stored<cache_of<k<qp::a8_token, qp::residual<20>, qp::transform<qp::hadamard>>,
                    v<qp::quant<qp::uint4, qp::per_token, qp::scale<qp::fp16>, qp::zero<qp::uint4>>,
                      qp::transform<qp::hadamard>>,
                    qp::exact_first<3>>,
           3, 0, 20, 0>>;

struct shape {
  std::size_t head_dim;
  std::size_t group;
  std::size_t queries;
  std::size_t tokens;
};
const std::vector<shape> shapes{{32, 1, 1, 1},   {64, 4, 3, 67},  {96, 2, 1, 130}, {48, 3, 40, 200},
                                {128, 8, 1, 33}, {80, 1, 2, 100}, {40, 2, 17, 64}, {64, 1, 96, 97}};

template <class Row>
void check_formats() {
  using cache_type = typename Row::cache;
  constexpr std::size_t n_kv_heads = 2;
  for (const shape& s : shapes) {
    INFO("head_dim " << s.head_dim << ", group " << s.group << ", queries " << s.queries
                     << ", tokens " << s.tokens);
    const matrix q = random_matrix(s.queries, n_kv_heads * s.group * s.head_dim, s.tokens);
    const matrix keys = random_matrix(s.tokens, n_kv_heads * s.head_dim, 2 * s.tokens);
    const matrix values = random_matrix(s.tokens, n_kv_heads * s.head_dim, 3 * s.tokens);
    const expected_attention expected =
        expect_attention<cache_type>(n_kv_heads, q, keys, values, {}, Row::keys_waiting(s.tokens),
                                     Row::values_waiting(s.tokens), Row::first);
    // Transforms spread the rounding of an element over its head.
    constexpr bool is_plain = cache_type::key_side::transform::is_identity &&
                              cache_type::value_side::transform::is_identity;
    const double slack = is_plain ? 1.0 : 8.0;

    cache_type at_once(n_kv_heads, s.head_dim, s.tokens + 7);
    at_once.append(keys.view(), values.view());
    matrix y(s.queries, q.cols(), std::numeric_limits<float>::quiet_NaN());
    qp::attention(q.view(), at_once, y.view());
    check_attention(expected, y, slack);

    // Appended in pieces, and with other tokens that were forgotten again.
    cache_type pieces(n_kv_heads, s.head_dim, s.tokens + 7);
    for (std::size_t t = 0; t < s.tokens;) {
      const std::size_t n = std::min<std::size_t>(1 + t % 5, s.tokens - t);
      pieces.append(keys.view().rows(t, n), values.view().rows(t, n));
      t += n;
    }
    matrix again(s.queries, q.cols());
    qp::attention(q.view(), pieces, again.view());
    CHECK(again.values() == y.values());

    const cache_type copy = pieces;
    pieces.truncate(s.tokens / 2);
    CHECK(pieces.length() == s.tokens / 2);
    qp::attention(q.view(), copy, again.view());
    CHECK(again.values() == y.values());
    pieces.append(keys.view().rows(s.tokens / 2, s.tokens - s.tokens / 2),
                  values.view().rows(s.tokens / 2, s.tokens - s.tokens / 2));
    qp::attention(q.view(), pieces, again.view());
    // Tokens that were quantized before the truncation stay so: near, not the same.
    double difference = 0.0;
    double size = 0.0;
    for (std::size_t i = 0; i < y.values().size(); ++i) {
      difference += std::abs(static_cast<double>(again.values()[i] - y.values()[i]));
      size += std::abs(static_cast<double>(y.values()[i]));
    }
    CHECK(difference <= 0.35 * size);
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("attention: every format of a cache agrees with the formula in double",
                        "[nn][cache]", plain_formats) {
  check_formats<TestType>();
}

TEMPLATE_LIST_TEST_CASE("attention: so do caches whose tokens wait, are exact or transformed",
                        "[nn][cache]", waiting_formats) {
  check_formats<TestType>();
}

TEST_CASE("attention: a codebook that a cache shares", "[nn][cache]") {
  using shared = qp::codebook<16, qp::fp16, qp::codebook_scope::tensor>;
  using spec = qp::quant<shared, qp::per_group<32>, qp::scale<qp::fp16>>;
  using cache_type = qp::kv_cache<qp::keys<spec>, qp::values<spec>>;
  std::vector<float> entries(16);
  for (std::size_t i = 0; i < 16; ++i) entries[i] = static_cast<float>(i) / 7.5f - 1.0f;
  CHECK_THROWS_AS(cache_type(1, 64, 10), qp::argument_error);
  cache_type cache(1, 64, 40, {.key_entries = entries, .value_entries = entries});
  const matrix x = random_matrix(40, 64, 3);
  cache.append(x.view(), x.view());
  qp::kv_cache<> floats(1, 64, 40);
  // Sixteen even steps are what four bits with a half of a step beside zero make.
  matrix rounded(40, 64);
  for (std::size_t t = 0; t < 40; ++t) {
    for (std::size_t g = 0; g < 2; ++g) {
      float peak = 0.0f;
      for (std::size_t d = 0; d < 32; ++d) peak = std::max(peak, std::abs(x(t, g * 32 + d)));
      const float scale = qp::fp16::decode(qp::fp16::encode(peak));
      for (std::size_t d = 0; d < 32; ++d) {
        const auto code = shared::encode(entries.data(), x(t, g * 32 + d) / scale);
        rounded(t, g * 32 + d) = scale * entries[code];
      }
    }
  }
  floats.append(rounded.view(), rounded.view());
  const matrix q = random_matrix(3, 128, 4);
  matrix y(3, 128);
  matrix wanted(3, 128);
  qp::attention(q.view(), cache, y.view());
  qp::attention(q.view(), floats, wanted.view());
  bool near = true;
  for (std::size_t i = 0; i < y.values().size(); ++i) {
    near = near && std::abs(y.values()[i] - wanted.values()[i]) <= 2e-5f;
  }
  CHECK(near);
}

TEMPLATE_LIST_TEST_CASE("attention: each way of storing errs as its row says", "[nn][cache]",
                        cache_specs) {
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

namespace {

using sparse = qp::outliers<qp::outlier_elements<2>>;
using sparse_token = cache_of<k<qp::w3_g32, sparse>, v<qp::quant<qp::int3, qp::per_token>, sparse>>;
using dense_token = cache_of<k<qp::w3_g32>, v<qp::quant<qp::int3, qp::per_token>>>;
using sparse_channel =
    cache_of<k<nf4_channel, qp::residual<64>, sparse>, v<qp::nf4_g64, sparse>, qp::exact_first<1>>;
using dense_channel =
    cache_of<k<nf4_channel, qp::residual<64>>, v<qp::nf4_g64>, qp::exact_first<1>>;

/// Sum of the squared errors of all tokens, keys and values.
template <class Cache>
double stored_error(const Cache& cache, const matrix& keys, const matrix& values) {
  double sum = 0.0;
  std::vector<float> row(cache.head_dim());
  for (std::size_t t = 0; t < keys.rows(); ++t) {
    for (std::size_t h = 0; h < cache.n_kv_heads(); ++h) {
      cache.load_key(h, t, row);
      for (std::size_t d = 0; d < row.size(); ++d) {
        sum += std::pow(static_cast<double>(row[d] - keys(t, h * row.size() + d)), 2.0);
      }
      cache.load_value(h, t, row);
      for (std::size_t d = 0; d < row.size(); ++d) {
        sum += std::pow(static_cast<double>(row[d] - values(t, h * row.size() + d)), 2.0);
      }
    }
  }
  return sum;
}

template <class Sparse, class Dense>
void check_outliers() {
  matrix keys = random_matrix(140, 128, 1);
  matrix values = random_matrix(140, 128, 2);
  // A few large elements, as in Student's t: one or two in each vector.
  for (std::size_t t = 0; t < 140; ++t) {
    keys(t, t * 37 % 128) *= 12.0f;
    values(t, t * 53 % 128) *= 12.0f;
  }
  Sparse cache(2, 64, 150);
  Dense without(2, 64, 150);
  cache.append(keys.view(), values.view());
  without.append(keys.view(), values.view());
  CHECK(stored_error(cache, keys, values) < 0.5 * stored_error(without, keys, values));

  // The kernels see what can be read back.
  matrix read_keys(140, 128);
  matrix read_values(140, 128);
  for (std::size_t t = 0; t < 140; ++t) {
    for (std::size_t h = 0; h < 2; ++h) {
      cache.load_key(h, t, {read_keys.view().row(t) + 64 * h, 64});
      cache.load_value(h, t, {read_values.view().row(t) + 64 * h, 64});
    }
  }
  qp::kv_cache<> floats(2, 64, 150);
  floats.append(read_keys.view(), read_values.view());
  for (const std::size_t queries : {1u, 30u}) {
    const matrix q = random_matrix(queries, 256, 3);
    matrix y(queries, 256);
    matrix wanted(queries, 256);
    qp::attention(q.view(), cache, y.view());
    qp::attention(q.view(), floats, wanted.view());
    double error = 0.0;
    double size = 0.0;
    for (std::size_t i = 0; i < y.values().size(); ++i) {
      error += std::pow(static_cast<double>(y.values()[i] - wanted.values()[i]), 2.0);
      size += std::pow(static_cast<double>(wanted.values()[i]), 2.0);
    }
    // Floats agree to rounding; integers round queries and weights.
    const bool rounds = qp::detail::cache_codes<typename Sparse::key_spec>::has_integers;
    CHECK(error <= (rounds ? 4e-4 : 1e-8) * size);
  }
}

}  // namespace

TEST_CASE("attention: elements kept apart", "[nn][cache]") {
  check_outliers<sparse_token, dense_token>();
  check_outliers<sparse_channel, dense_channel>();
}
