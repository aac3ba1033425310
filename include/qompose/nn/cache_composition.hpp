// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What the parts of a cache mean together, and which of them cannot be together.

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "qompose/cache/cache_parts.hpp"
#include "qompose/cache/side.hpp"
#include "qompose/packing/cache_block.hpp"
#include "qompose/transforms/transform.hpp"

namespace qompose::detail {

/// All that a cache's type says.
template <class... Parts>
struct cache_composition {
  static_assert((recipe_part<Parts> && ...),
                "qompose: kv_cache: an argument fills no slot; wrap it in keys<>, values<>, "
                "layout<> or eviction<>");
  static_assert(((count_part<typename Parts::slot, Parts...> == 1) && ...),
                "qompose: kv_cache: a slot is given twice; name each slot once");

  using keys_part = typename find_part<keys_slot, keys<fp32>, Parts...>::type;
  using values_part = typename find_part<values_slot, values<fp32>, Parts...>::type;
  using first_part = typename find_part<exact_first_slot, exact_first<0>, Parts...>::type;

  using key_spec = typename keys_part::policy;
  using value_spec = typename values_part::policy;
  using layout_type =
      typename find_part<layout_slot, qompose::layout<contiguous>, Parts...>::type::policy;
  using eviction_type =
      typename find_part<eviction_slot, qompose::eviction<keep_all>, Parts...>::type::policy;

  using key_options = typename keys_part::options;
  using value_options = typename values_part::options;

  static constexpr bool is_paged = !std::is_same_v<layout_type, contiguous>;
  /// Tokens that every query sees, and newest tokens that it sees; 0 for all.
  static constexpr std::size_t sinks = eviction_type::sinks;
  static constexpr std::size_t window_tokens = eviction_type::tokens;
  static constexpr std::size_t exact_tokens_first = first_part::tokens;
  /// Whether keys are rotated when they are read, so that `attention` needs a rope_table.
  static constexpr bool is_before_rope = keys_part::options::before_rope;

  using key_codes = cache_codes<key_spec, key_options::outliers>;
  using value_codes = cache_codes<value_spec, value_options::outliers>;
  static constexpr bool is_per_channel = key_codes::is_per_channel;
  static constexpr std::size_t key_residual = keys_part::options::residual;
  static constexpr std::size_t value_residual = values_part::options::residual;
  static_assert(!is_per_channel || is_paged || key_residual > 0,
                "qompose: kv_cache: contiguous keys with scales per channel need to know how many "
                "tokens share a scale; add residual<128> to the keys, or write layout<paged<64>>");
  static_assert(!is_per_channel || !is_paged || key_residual == 0 ||
                    key_residual == layout_type::block_tokens,
                "qompose: kv_cache: the tokens that share scales per channel are those of a page; "
                "give residual<N> the N of paged<N>, or leave it out");

  /// Tokens of a block.
  static constexpr std::size_t block_tokens =
      is_per_channel && !is_paged ? key_residual : layout_type::block_tokens;

  static_assert(block_tokens % cache_step<key_spec> == 0 &&
                    block_tokens % cache_step<value_spec> == 0,
                "qompose: kv_cache: the tokens of a block are no multiple of 16 (of 32 beside "
                "codes of an odd number of bits); write residual<128> or paged<64>");
  static_assert(!is_per_channel || block_tokens <= 1024,
                "qompose: kv_cache: more than 1024 tokens would share the scales of a channel; "
                "write residual<128> or paged<64>");

  /// Tokens at the start that are kept exactly.
  static constexpr std::size_t first_tokens = std::max(sinks, first_part::tokens);
  /// Whether new keys, and values, wait in exact blocks.
  static constexpr bool keys_wait =
      !is_plain_float<key_spec> && (is_per_channel || key_residual > 0);
  static constexpr bool values_wait = !is_plain_float<value_spec> && value_residual > 0;
  static constexpr bool has_recent = keys_wait || values_wait;

  /// For the kernels.
  using key_side = cache_side<key_spec, typename key_options::transform, is_before_rope,
                              (first_tokens > 0 || keys_wait), key_options::outliers>;
  using value_side = cache_side<value_spec, typename value_options::transform, false,
                                (first_tokens > 0 || values_wait), value_options::outliers>;

  using key_transform = typename key_side::transform;
  using value_transform = typename value_side::transform;
  using exact_key_codes = cache_codes<typename key_side::exact>;
  using exact_value_codes = cache_codes<typename value_side::exact>;
  static_assert(makes_own_data<key_transform> && makes_own_data<value_transform>,
                "qompose: kv_cache: the data of a transform does not follow from its type; write "
                "hadamard or block_hadamard<64>");

  /// Tokens of an exact block.
  static constexpr std::size_t exact_tokens = 32;
  /// Tokens that wait at most, before the next ones are appended.
  static constexpr std::size_t most_waiting =
      std::max(keys_wait ? (is_per_channel ? block_tokens - 1 : key_residual) : 0,
               values_wait ? value_residual : 0);
  /// Tokens that are appended at once where some wait.
  static constexpr std::size_t most_together = has_recent ? exact_tokens : ~std::size_t{0};
};

}  // namespace qompose::detail
