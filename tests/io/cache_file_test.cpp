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
