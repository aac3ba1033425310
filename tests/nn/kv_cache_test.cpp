// SPDX-License-Identifier: Apache-2.0

#include "qompose/nn/kv_cache.hpp"

#include <cstddef>
#include <type_traits>
#include <vector>

#include "policy_lists.hpp"
#include "qompose/nn/attention.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

TEST_CASE("kv_cache: parts come in any order and have defaults", "[nn][cache]") {
  using a = qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::a8_token>, qp::layout<qp::contiguous>,
                         qp::eviction<qp::keep_all>>;
  using b = qp::kv_cache<qp::eviction<qp::keep_all>, qp::values<qp::a8_token>, qp::keys<qp::fp16>>;
  CHECK(std::is_same_v<a::key_spec, b::key_spec>);
  CHECK(std::is_same_v<a::value_spec, b::value_spec>);
  CHECK(std::is_same_v<qp::kv_cache<>::key_spec, qp::fp32>);
  CHECK(std::is_same_v<qp::kv_cache<>::value_spec, qp::fp32>);
  CHECK(std::is_empty_v<qp::contiguous>);
  CHECK(std::is_empty_v<qp::keep_all>);
}

TEST_CASE("kv_cache: numbers out of their range are refused", "[nn][cache]") {
  CHECK_THROWS_AS(qp::kv_cache<>(0, 64, 10), qp::argument_error);
  CHECK_THROWS_AS(qp::kv_cache<>(1, 0, 10), qp::argument_error);
  CHECK_THROWS_WITH(qp::kv_cache<>(2, 257, 10), contains("2 heads of 257"));
  CHECK_NOTHROW(qp::kv_cache<>(1, 256, 0));
  const qp::kv_cache<> none;
  CHECK(none.size() == 0);
  CHECK(none.storage_bytes() == 0);
}

TEMPLATE_LIST_TEST_CASE("kv_cache: an append that fails leaves it as it was", "[nn][cache]",
                        qompose_tests::cache_specs) {
  using spec = typename TestType::spec;
  qp::kv_cache<qp::keys<spec>, qp::values<spec>> cache(2, 20, 5);
  const matrix k = random_matrix(6, 40, 1);
  const matrix v = random_matrix(6, 40, 2);
  cache.append(k.view().rows(0, 3), v.view().rows(0, 3));
  matrix before(1, 40);
  qp::attention(k.view().rows(0, 1), cache, before.view());

  CHECK_THROWS_AS(cache.append(k.view().rows(0, 3), v.view().rows(0, 3)), qp::argument_error);
  CHECK_THROWS_WITH(cache.append(k.view().rows(0, 3), v.view().rows(0, 3)),
                    "kv_cache: no room for 3 tokens after 3, capacity 5");
  CHECK_THROWS_AS(cache.append(k.view().rows(0, 2), v.view().rows(0, 1)), qp::shape_error);
  const matrix narrow(2, 39, 0.0f);
  CHECK_THROWS_WITH(cache.append(narrow.view(), v.view().rows(0, 2)),
                    "kv_cache: k: shape [2, 39], expected [2, 40]");
  CHECK_THROWS_WITH(cache.append(k.view().rows(0, 2), narrow.view()),
                    "kv_cache: v: shape [2, 39], expected [2, 40]");
  CHECK(cache.size() == 3);
  matrix after(1, 40);
  qp::attention(k.view().rows(0, 1), cache, after.view());
  CHECK(after.values() == before.values());

  CHECK_NOTHROW(cache.append(k.view().rows(0, 2), v.view().rows(0, 2)));
  CHECK(cache.size() == 5);
  CHECK_NOTHROW(cache.append(k.view().rows(0, 0), v.view().rows(0, 0)));
  CHECK(cache.capacity() == 5);
}

TEST_CASE("kv_cache: truncate forgets, and cannot invent tokens", "[nn][cache]") {
  qp::kv_cache<> cache(1, 16, 4);
  const matrix k = random_matrix(4, 16, 3);
  cache.append(k.view(), k.view());
  CHECK_THROWS_AS(cache.truncate(5), qp::argument_error);
  CHECK_THROWS_WITH(cache.truncate(5), contains("truncate to 5 tokens, it holds 4"));
  cache.truncate(4);
  CHECK(cache.size() == 4);
  cache.truncate(0);
  CHECK(cache.size() == 0);
  CHECK_NOTHROW(cache.append(k.view(), k.view()));
}

TEST_CASE("kv_cache: storage is blocks of 64 tokens for each head, scales in them", "[nn][cache]") {
  using a8 = qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::a8_token>>;
  // 20 elements are 24 columns of keys and two panels of values; each panel of 16 keys has 16
  // scales of four bytes and ends at a multiple of 64 bytes.
  CHECK(a8::block_bytes(20) == 4 * (24 * 16 + 16 * 4) + 64 * (32 + 4));
  CHECK(a8(3, 20, 17).storage_bytes() == 3 * a8::block_bytes(20));
  CHECK(a8::bytes_per_token(3, 64) == 3 * 2 * (64 + 4));
  using halves = qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::bf16>>;
  CHECK(halves(3, 64, 65).storage_bytes() == 3 * 128 * 64 * 4);
  CHECK(halves::bytes_per_token(3, 64) == 3 * 64 * 4);
  CHECK(qp::kv_cache<>::bytes_per_token(1, 64) == 64 * 8);
  // Four bits an element, a half a group of 32 on both sides.
  using a4 = qp::kv_cache<qp::keys<qp::w4_g32>, qp::values<qp::w4_g32>>;
  CHECK(a4::bytes_per_token(1, 128) == 2 * (64 + 4 * 2));
}

TEST_CASE("attention: wrong shapes are refused before anything is written", "[nn][attention]") {
  qp::kv_cache<> cache(2, 16, 8);
  const matrix k = random_matrix(3, 32, 4);
  cache.append(k.view(), k.view());
  matrix y(2, 64, 5.0f);
  const matrix q = random_matrix(4, 64, 5);
  const matrix odd(2, 48, 0.0f);
  CHECK_THROWS_AS(qp::attention(odd.view(), cache, y.view()), qp::shape_error);
  CHECK_THROWS_WITH(qp::attention(odd.view(), cache, y.view()),
                    contains("48 columns, expected a multiple of 32"));
  CHECK_THROWS_WITH(qp::attention(q.view().rows(0, 3), cache, y.view()),
                    "attention: y: shape [2, 64], expected [3, 64]");
  matrix long_y(4, 64, 5.0f);
  CHECK_THROWS_AS(qp::attention(q.view(), cache, long_y.view()), qp::argument_error);
  CHECK_THROWS_WITH(qp::attention(q.view(), cache, long_y.view()),
                    contains("4 queries, the cache holds 3 tokens"));
  CHECK(y.values() == std::vector<float>(128, 5.0f));
  CHECK(long_y.values() == std::vector<float>(256, 5.0f));
  CHECK_NOTHROW(qp::attention(q.view().rows(0, 0), cache, y.view().rows(0, 0)));
}
