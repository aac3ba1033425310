// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/cache_file.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "qompose/nn/attention.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/edited_safetensors.hpp"
#include "support/matrix.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Cache>
std::vector<float> answers(const Cache& cache, std::size_t width) {
  const matrix q = random_matrix(1, width, 9);
  matrix y(1, width);
  qp::attention(q.view(), cache, y.view());
  return y.values();
}

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
    if (tokens > 0) CHECK(answers(again, 64) == answers(cache, 64));
    // It goes on as if nothing had been.
    cache.append(x.view().rows(80, 5), x.view().rows(80, 5));
    again.append(x.view().rows(80, 5), x.view().rows(80, 5));
    CHECK(answers(again, 64) == answers(cache, 64));
  }
}

}  // namespace

TEST_CASE("cache file: a sequence goes on where it was saved", "[io][cache]") {
  SECTION("plain") { check_round_trip<qp::kv_cache<>>(90); }
  SECTION("tokens that wait") { check_round_trip<kivi>(90); }
  SECTION("tokens that were dropped") { check_round_trip<windowed>(40); }
}

TEST_CASE("cache file: a cache in pages takes blocks of a pool", "[io][cache]") {
  using cache_type =
      qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::w4_g32>, qp::layout<qp::paged<16>>>;
  const temporary_folder folder;
  const matrix x = random_matrix(40, 64, 1);
  const auto pool = std::make_shared<qp::block_pool>(8, cache_type::block_bytes(32));
  cache_type cache(pool, 2, 32);
  cache.append(x.view(), x.view());
  const std::filesystem::path path = folder / "cache.safetensors";
  qp::save(path, cache);
  CHECK_THROWS_AS(qp::load_cache<cache_type>(path, pool), qp::out_of_blocks);
  CHECK(pool->free_blocks() == 2);
  const auto other = std::make_shared<qp::block_pool>(6, cache_type::block_bytes(32));
  const cache_type again = qp::load_cache<cache_type>(path, other);
  CHECK(answers(again, 64) == answers(cache, 64));
  CHECK(other->free_blocks() == 0);
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

TEST_CASE("cache file: what does not fit is refused", "[io][cache]") {
  const temporary_folder folder;
  const std::filesystem::path path = folder / "cache.safetensors";
  const matrix x = random_matrix(20, 64, 1);
  using cache_type = qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>>;
  cache_type cache(2, 32, 30);
  cache.append(x.view(), x.view());
  qp::save(path, cache);
  CHECK_THROWS_WITH(qp::load<qp::kv_cache<>>(path),
                    contains("the file has kv_cache<keys<fp16>, values<fp16>>"));
  const auto with = [&](const std::string& key, const std::string& value) {
    edited_safetensors file(path);
    const auto before = file.header["__metadata__"][key];
    file.header["__metadata__"][key] = value;
    const std::filesystem::path edited = folder / "edited.safetensors";
    file.write(edited);
    CHECK_THROWS_AS(qp::load<cache_type>(edited), qp::file_error);
  };
  with("length", "90");
  with("key_end", "19");
  with("oldest", "3");
  with("n_kv_heads", "3");
  with("main.first_token", "64");
  with("panel_layout", "1");
  edited_safetensors file(path);
  // An infinite half in the first key.
  file.put<std::uint16_t>("main", 0, 0x7c00);
  const std::filesystem::path edited = folder / "edited.safetensors";
  file.write(edited);
  CHECK_THROWS_WITH(qp::load<cache_type>(edited), contains("the key of token 0, head 0"));
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
