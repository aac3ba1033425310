// SPDX-License-Identifier: Apache-2.0

#include "qompose/io/cache_file.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/cache_tokens.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/edited_safetensors.hpp"
#include "support/matrix.hpp"
#include "support/temporary_folder.hpp"

namespace qp = qompose;
using namespace qompose_tests;

TEST_CASE("cache file: a cache in pages takes blocks of a pool", "[io][cache]") {
  using cache_type =
      qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>, qp::layout<qp::paged<16>>>;
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
  CHECK(tokens_in(again) == tokens_in(cache));
  CHECK(other->free_blocks() == 0);
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

TEST_CASE("cache file: padding that would spoil results is refused", "[io][cache]") {
  // 20 tokens of a block of 64: the bits of a NaN where no token is.
  const temporary_folder folder;
  const std::filesystem::path path = folder / "cache.safetensors";
  const std::filesystem::path edited = folder / "edited.safetensors";
  const matrix x = random_matrix(20, 64, 1);
  using cache_type = qp::kv_cache<qp::keys<qp::fp16>, qp::values<qp::fp16>>;
  cache_type cache(2, 32, 30);
  cache.append(x.view(), x.view());
  qp::save(path, cache);
  const std::size_t half = cache_type::block_bytes(32) / 2;
  for (const std::size_t at : {half - 2, 2 * half - 2}) {
    edited_safetensors file(path);
    file.put<std::uint16_t>("main", at, 0x7e00);
    file.write(edited);
    CHECK_THROWS_WITH(qp::load<cache_type>(edited), contains("padding holds"));
  }
}

TEST_CASE("cache file: elements apart that lie outside their head are refused", "[io][cache]") {
  using channels = qp::quant<qp::int4, qp::per_channel, qp::scale<qp::fp16>>;
  using token = qp::quant<qp::int8, qp::per_token>;
  using apart = qp::outliers<qp::outlier_elements<1>>;
  using cache_type =
      qp::kv_cache<qp::keys<channels, qp::residual<64>, apart>, qp::values<token, apart>>;
  const temporary_folder folder;
  const std::filesystem::path path = folder / "cache.safetensors";
  const std::filesystem::path edited = folder / "edited.safetensors";
  const matrix x = random_matrix(64, 32, 1);
  cache_type cache(1, 32, 64);
  cache.append(x.view(), x.view());
  qp::save(path, cache);
  CHECK(tokens_in(qp::load<cache_type>(path)) == tokens_in(cache));

  const qp::detail::key_block<qp::detail::cache_codes<channels, 1>> keys({32, 64});
  const qp::detail::value_block<qp::detail::cache_codes<token, 1>> values({32, 64});
  const auto refuses = [&](std::size_t at, std::uint16_t value) {
    edited_safetensors file(path);
    file.put<std::uint16_t>("main", at, value);
    file.write(edited);
    CHECK_THROWS_WITH(qp::load<cache_type>(edited), contains("lies outside its head"));
  };
  refuses(keys.outliers_at(), 32 * 16);
  refuses(keys.outlier_starts_at() + 2, 33);  // where those of the second panel begin
  refuses(keys.bytes() + values.outliers_at(), 32);
}
