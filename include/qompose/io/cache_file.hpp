// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Files of caches: a sequence whose tokens need not pass the model again.
///
/// Metadata: `format` is "qompose.cache", `version` "1", `panel_layout` that of layers,
/// `composition` the text of `describe_cache<Cache>()`, and decimal numbers: `n_kv_heads`,
/// `head_dim`, `capacity` (0 for a cache in pages), `length`, `oldest`, `key_end`, `value_end`, and
/// for each of the tables first, main and recent the position of its first token, as
/// `main.first_token`. Tensors: `first`, `main`, `recent`, U8 [n_kv_heads, blocks, bytes of a
/// block] as packing/cache_block.hpp has them; `key_entries`, `value_entries`, F32, where the specs
/// have codebooks.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/io/composition_file.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/matrix_parts.hpp"
#include "qompose/io/safetensors_writer.hpp"
#include "qompose/io/save_load.hpp"
#include "qompose/nn/describe_cache.hpp"
#include "qompose/nn/kv_cache.hpp"

namespace qompose {

namespace detail {

inline constexpr const char* cache_file_version = "1";
inline constexpr std::array<const char*, 3> cache_table_names = {"first", "main", "recent"};

inline namespace QOMPOSE_ISA {

/// Caches in files.
template <class Cache>
struct cache_file {
  static void save(const std::filesystem::path& path, const Cache& cache) {
    const typename Cache::state_type state = cache.state();
    safetensors_writer writer(path);
    writer.set_metadata("format", "qompose.cache");
    writer.set_metadata("version", cache_file_version);
    writer.set_metadata("panel_layout", std::to_string(panel_layout_version));
    writer.set_metadata("composition", describe_cache<Cache>());
    const auto number = [&](const std::string& key, std::size_t value) {
      writer.set_metadata(key, std::to_string(value));
    };
    number("n_kv_heads", cache.n_kv_heads());
    number("head_dim", cache.head_dim());
    number("capacity", Cache::is_paged ? 0 : cache.capacity());
    number("window", cache.window());
    number("length", state.length);
    number("oldest", state.oldest);
    number("key_end", state.key_end);
    number("value_end", state.value_end);
    const auto tables = cache.tables();
    for (std::size_t i = 0; i < tables.size(); ++i) {
      number(std::string(cache_table_names[i]) + ".first_token", tables[i]->first_token());
    }
    const std::vector<stored_part> parts =
        parts_of(cache, {tables[0]->count(), tables[1]->count(), tables[2]->count()});
    declare_parts(writer, parts);
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const block_table& table = *tables[i];
      for (std::size_t h = 0; h < cache.n_kv_heads(); ++h) {
        for (std::size_t b = 0; b < table.count(); ++b) {
          const std::size_t token = table.first_token() + b * table.block_tokens();
          writer.write(parts[i].name, {table.block(h, token), table.block_bytes()});
        }
      }
    }
    for (std::size_t i = tables.size(); i < parts.size(); ++i) {
      const bool is_key = parts[i].name == "key_entries";
      writer.write(parts[i].name,
                   std::as_bytes(is_key ? cache.key_entries() : cache.value_entries()));
    }
    writer.finish();
  }

  /// @param make  (n_kv_heads, head_dim, capacity, data) -> an empty cache
  template <class Make>
  [[nodiscard]] static Cache load(const std::filesystem::path& path, Make&& make) {
    composition_file file(path);
    return naming_file(path, [&] {
      file.read_header();
      file.require("format", "qompose.cache");
      file.require("version", cache_file_version);
      file.require("panel_layout", std::to_string(panel_layout_version));
      file.require("composition", describe_cache<Cache>());
      const std::size_t n_kv_heads = file.extent("n_kv_heads");
      const std::size_t head_dim = file.extent("head_dim");
      const std::size_t capacity = file.extent("capacity");
      const typename Cache::state_type state{file.extent("length"), file.extent("oldest"),
                                             file.extent("key_end"), file.extent("value_end")};
      std::array<std::size_t, 3> starts;
      for (std::size_t i = 0; i < starts.size(); ++i) {
        starts[i] = file.extent(std::string(cache_table_names[i]) + ".first_token");
      }
      // Whatever the numbers say, sizes do not overflow.
      constexpr std::size_t most_heads = std::size_t{1} << 16;
      constexpr std::size_t most_tokens = std::size_t{1} << 28;
      if (n_kv_heads > most_heads || capacity > most_tokens || state.length > most_tokens) {
        throw file_error("n_kv_heads, capacity or length: is larger than any cache");
      }
      cache_data data;
      data.window = file.extent("window");
      const std::vector<float> key_entries = read_entries(file, "key_entries");
      const std::vector<float> value_entries = read_entries(file, "value_entries");
      data.key_entries = key_entries;
      data.value_entries = value_entries;
      Cache cache = as_file_error([&] {
        Cache made = make(n_kv_heads, head_dim, capacity, data);
        made.restore(state, starts);
        return made;
      });
      const auto tables = cache.tables();
      const std::vector<stored_part> parts =
          parts_of(cache, {tables[0]->count(), tables[1]->count(), tables[2]->count()});
      const std::vector<std::span<const std::byte>> found = file.match(parts);
      for (std::size_t i = 0; i < tables.size(); ++i) {
        const block_table& table = *tables[i];
        const std::byte* from = found[i].data();
        for (std::size_t h = 0; h < n_kv_heads; ++h) {
          for (std::size_t b = 0; b < table.count(); ++b, from += table.block_bytes()) {
            const std::size_t token = table.first_token() + b * table.block_tokens();
            std::memcpy(table.block(h, token), from, table.block_bytes());
          }
        }
      }
      if (!cache.has_sound_places()) {
        throw file_error("an element that is kept apart lies outside its head");
      }
      require_finite_tokens(cache);
      if (!cache.is_finite()) throw value_error("padding holds a number that is not finite");
      return cache;
    });
  }

 private:
  static std::vector<stored_part> parts_of(const Cache& cache,
                                           const std::array<std::size_t, 3>& counts) {
    std::vector<stored_part> parts;
    const auto tables = cache.tables();
    for (std::size_t i = 0; i < tables.size(); ++i) {
      const std::size_t bytes = tables[i]->block_bytes();
      parts.push_back({cache_table_names[i],
                       "U8",
                       {cache.n_kv_heads(), counts[i], bytes},
                       cache.n_kv_heads() * counts[i] * bytes});
    }
    const auto add = [&](const char* name, std::size_t count) {
      if (count > 0) parts.push_back({name, "F32", {count}, 4 * count});
    };
    add("key_entries", cache.key_entries().size());
    add("value_entries", cache.value_entries().size());
    return parts;
  }
  static std::vector<float> read_entries(const composition_file& file, const char* name) {
    if (!file.has(name)) return {};
    const std::span<const std::byte> bytes = file.bytes_of(name);
    std::vector<float> entries(bytes.size() / sizeof(float));
    std::memcpy(entries.data(), bytes.data(), entries.size() * sizeof(float));
    return entries;
  }
  /// What a cache refuses is a fault of the file.
  template <class F>
  static auto as_file_error(F&& f) {
    try {
      return f();
    } catch (const argument_error& wrong) {
      throw file_error(wrong.what());
    }
  }
  static void require_finite_tokens(const Cache& cache) {
    std::vector<float> row(cache.head_dim());
    const auto require = [&](const char* what, std::size_t head, std::size_t token) {
      for (const float x : row) {
        if (std::isfinite(x)) continue;
        throw value_error(std::string(what) + " of token " + std::to_string(token) + ", head " +
                          std::to_string(head) + ": holds a number that is not finite");
      }
    };
    for (std::size_t h = 0; h < cache.n_kv_heads(); ++h) {
      for (std::size_t t = 0; t < cache.length(); ++t) {
        if (!cache.holds(t)) continue;
        cache.load_key(h, t, row);
        require("the key", h, t);
        cache.load_value(h, t, row);
        require("the value", h, t);
      }
    }
  }
};

template <class... Parts>
struct file_format<kv_cache<Parts...>> {
  using cache_type = kv_cache<Parts...>;

  static void save(const std::filesystem::path& path, const cache_type& cache) {
    cache_file<cache_type>::save(path, cache);
  }
  [[nodiscard]] static cache_type load(const std::filesystem::path& path, placement) {
    static_assert(!cache_type::is_paged,
                  "qompose: load: the blocks of a cache in pages come from a pool; write "
                  "load_cache<Cache>(path, pool)");
    return cache_file<cache_type>::load(
        path, [](std::size_t heads, std::size_t dim, std::size_t capacity, const cache_data& data) {
          return cache_type(heads, dim, capacity, data);
        });
  }
};

}  // namespace QOMPOSE_ISA
}  // namespace detail

inline namespace QOMPOSE_ISA {

/// Reads a cache in pages that `save` has written; a contiguous one is read by `load<Cache>(path)`.
/// @param pool  whose blocks it takes
/// @throws qompose::file_error if the file is damaged, of another version or composition
/// @throws qompose::value_error if a number in it is not finite
/// @throws qompose::out_of_blocks if the pool has too few; none is taken then
template <class Cache>
[[nodiscard]] Cache load_cache(const std::filesystem::path& path,
                               const std::shared_ptr<block_pool>& pool) {
  return detail::cache_file<Cache>::load(
      path, [&](std::size_t heads, std::size_t dim, std::size_t, const cache_data& data) {
        return Cache(pool, heads, dim, data);
      });
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
