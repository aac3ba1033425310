// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/cache_file.hpp"

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "qompose/recipe/catalogue.hpp"
#include "support/cache_tokens.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

using kivi_keys =
    qp::keys<qp::quant<qp::uint2, qp::per_channel, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>,
             qp::residual<32>>;
using kivi_values =
    qp::values<qp::quant<qp::uint2, qp::per_group<32>, qp::scale<qp::fp16>, qp::minimum<qp::fp16>>,
               qp::residual<20>>;
using kivi = qp::kv_cache<kivi_keys, kivi_values, qp::exact_first<1>>;
using windowed = qp::kv_cache<qp::keys<qp::a8_token>, qp::values<qp::fp16>,
                              qp::eviction<qp::sinks_and_window<2, 30>>>;

template <class Cache>
void check_round_trip(std::size_t capacity) {
  const temporary_folder folder;
  const matrix x = random_matrix(100, 64, 1);
  for (const std::size_t tokens : {0u, 1u, 31u, 77u}) {
    Cache cache(2, 32, capacity);
    for (std::size_t t = 0; t < tokens; ++t) {
      cache.append(x.view().rows(t, 1), x.view().rows(tokens - 1 - t, 1));
    }
    const std::filesystem::path path = folder / "cache.safetensors";
    qp::save(path, cache);
    Cache again = qp::load<Cache>(path);
    CHECK(again.length() == tokens);
    CHECK(again.size() == cache.size());
    CHECK(again.capacity() == capacity);
    CHECK(tokens_in(again) == tokens_in(cache));
    // It goes on as if nothing had been.
    cache.append(x.view().rows(80, 5), x.view().rows(80, 5));
    again.append(x.view().rows(80, 5), x.view().rows(80, 5));
    CHECK(tokens_in(again) == tokens_in(cache));
  }
}

}  // namespace

TEST_CASE("cache file: a sequence goes on where it was saved", "[io][cache]") {
  SECTION("plain") { check_round_trip<qp::kv_cache<>>(90); }
  SECTION("tokens that wait") { check_round_trip<kivi>(90); }
  SECTION("tokens that were dropped") { check_round_trip<windowed>(40); }
}

TEST_CASE("cache file: the text of a composition", "[io][cache]") {
  CHECK(qp::describe_cache<qp::kv_cache<>>() == "kv_cache<keys<fp32>, values<fp32>>");
  CHECK(qp::describe_cache<kivi>() ==
        "kv_cache<keys<quant<uint2, per_channel, scale<fp16>, minimum<fp16>>, residual<32>>, "
        "values<quant<uint2, per_group<32>, scale<fp16>, minimum<fp16>>, residual<20>>, "
        "exact_first<1>>");
  CHECK(qp::describe_cache<windowed>() ==
        "kv_cache<keys<quant<int8, per_token>>, values<fp16>, eviction<sinks_and_window<2, 30>>>");
}

TEST_CASE("kv_cache: tokens can be read back", "[nn][cache]") {
  const matrix x = random_matrix(50, 64, 1);
  kivi cache(2, 32, 60);
  cache.append(x.view(), x.view());
  std::vector<float> row(32);
  double worst_key = 0.0;
  double worst_value = 0.0;
  for (std::size_t t = 0; t < 50; ++t) {
    for (std::size_t h = 0; h < 2; ++h) {
      cache.load_key(h, t, row);
      for (std::size_t d = 0; d < 32; ++d) {
        worst_key = std::fmax(worst_key, std::abs(static_cast<double>(row[d] - x(t, h * 32 + d))));
      }
      cache.load_value(h, t, row);
      for (std::size_t d = 0; d < 32; ++d) {
        worst_value =
            std::fmax(worst_value, std::abs(static_cast<double>(row[d] - x(t, h * 32 + d))));
      }
      if (t == 0 || t == 49) CHECK(std::abs(row[3] - x(t, h * 32 + 3)) < 2e-3f);
    }
  }
  // Two bits over a range of at most some eight are off by at most a sixth of it.
  CHECK(worst_key < 1.4);
  CHECK(worst_key > 0.1);
  CHECK(worst_value < 1.4);
  CHECK_THROWS_AS(cache.load_key(2, 0, row), qp::argument_error);
  CHECK_THROWS_AS(cache.load_key(0, 50, row), qp::argument_error);
}
