// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The keys and values of one sequence in one layer.

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "qompose/cache/cache_parts.hpp"
#include "qompose/cache/side.hpp"
#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/nn/block_pool.hpp"
#include "qompose/nn/block_table.hpp"
#include "qompose/nn/cache_composition.hpp"
#include "qompose/nn/cache_contents.hpp"
#include "qompose/nn/cache_store.hpp"
#include "qompose/packing/cache_block.hpp"

namespace qompose {

/// What the types of a cache's parts leave open.
struct cache_data {
  /// Entries of the codebooks that all keys, and all values, share; where the spec has one.
  std::span<const float> key_entries = {};
  std::span<const float> value_entries = {};
  /// Newest tokens that queries will see, their own included; 0 for all. Of it and the window of
  /// an eviction policy the smaller one holds. For local layers, which then keep no more.
  std::size_t window = 0;
};

/// Keys and values of the tokens seen so far, each side stored by a spec of its own.
///
/// @tparam Parts  `keys<>`, `values<>`, `layout<>`, `eviction<>`, `exact_first<N>`, in any order;
///                defaults fp32, fp32, contiguous, keep_all, none
/// @par Copies  A copy is a sequence of its own with the same tokens: of a paged cache it shares
///              all blocks until either side writes to one, which then is copied (a fork); of a
///              contiguous one it has memory of its own.
/// @par Storage
/// Blocks of tokens for each KV head, see packing/cache_block.hpp. Tokens that are kept exactly,
/// and those of blocks that wait for their scales per channel, lie in fp16 (bf16 or fp32 beside
/// such a spec) in blocks of their own that no copy shares.
template <class... Parts>
class kv_cache : detail::cache_contents<Parts...> {
  using composition = detail::cache_composition<Parts...>;
  using contents = detail::cache_contents<Parts...>;
  using key_codes = typename composition::key_codes;
  using value_codes = typename composition::value_codes;
  using exact_key_codes = typename composition::exact_key_codes;
  using exact_value_codes = typename composition::exact_value_codes;
  using key_transform = typename composition::key_side::transform;
  using value_transform = typename composition::value_side::transform;
  using composition::exact_tokens;
  using composition::first_tokens;
  using composition::has_recent;
  using composition::is_per_channel;
  using composition::keys_wait;
  using composition::most_together;
  using composition::most_waiting;
  using composition::values_wait;

  using contents::capacity_;
  using contents::exact_block_bytes;
  using contents::exact_values_at;
  using contents::first_;
  using contents::geometry;
  using contents::head_dim_;
  using contents::key_data_;
  using contents::key_end_;
  using contents::key_end_at;
  using contents::key_entries_;
  using contents::length_;
  using contents::main_;
  using contents::main_values_at;
  using contents::n_kv_heads_;
  using contents::oldest_;
  using contents::recent_;
  using contents::start_over;
  using contents::store;
  using contents::truncate_recent;
  using contents::value_data_;
  using contents::value_end_;
  using contents::value_end_at;
  using contents::value_entries_;
  using contents::window_;

 public:
  using composition::block_tokens;
  using composition::exact_tokens_first;
  using composition::is_before_rope;
  using composition::is_paged;
  using composition::sinks;
  using composition::window_tokens;
  using typename composition::eviction_type;
  using typename composition::key_options;
  using typename composition::key_side;
  using typename composition::key_spec;
  using typename composition::layout_type;
  using typename composition::value_options;
  using typename composition::value_side;
  using typename composition::value_spec;

  QOMPOSE_INLINE kv_cache() noexcept = default;

  /// An empty cache with memory of its own.
  /// @param n_kv_heads  KV heads, >= 1
  /// @param head_dim    elements a head, 1 .. max_head_dim; even for keys before_rope
  /// @param capacity    tokens it can hold at once; for a cache that evicts see `capacity_for`
  /// @param data        codebooks, where a spec has one; a window
  /// @throws qompose::argument_error if a number is out of its range
  QOMPOSE_INLINE kv_cache(std::size_t n_kv_heads, std::size_t head_dim, std::size_t capacity,
                          const cache_data& data = {})
    requires(!is_paged)
      : kv_cache(n_kv_heads, head_dim, data, capacity) {
    // What stays when older tokens go may begin within a block.
    const std::size_t spare = window_ > 0 ? block_tokens - 1 : 0;
    const std::size_t past_first = capacity > first_tokens ? capacity - first_tokens : 0;
    main_ = detail::block_table(n_kv_heads, block_tokens, block_bytes(head_dim),
                                divide_up(past_first + spare, block_tokens));
    main_.start_at(first_tokens);
  }

  /// An empty cache whose blocks come from a pool that it shares with others.
  /// @param pool  of blocks of `block_bytes(head_dim)`
  /// @throws qompose::argument_error if a number is out of its range or the pool's blocks have
  ///         another size
  QOMPOSE_INLINE kv_cache(std::shared_ptr<block_pool> pool, std::size_t n_kv_heads,
                          std::size_t head_dim, const cache_data& data = {})
    requires is_paged
      : kv_cache(n_kv_heads, head_dim, data, ~std::size_t{0}) {
    if (pool == nullptr || pool->block_bytes() != block_bytes(head_dim)) {
      throw argument_error("kv_cache: " +
                           (pool == nullptr ? std::string("no pool of blocks")
                                            : "a pool of blocks of " +
                                                  std::to_string(pool->block_bytes()) + " bytes") +
                           ", expected blocks of " + std::to_string(block_bytes(head_dim)));
    }
    main_ = detail::block_table(n_kv_heads, block_tokens, std::move(pool));
    main_.start_at(first_tokens);
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t n_kv_heads() const noexcept { return n_kv_heads_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t head_dim() const noexcept { return head_dim_; }
  /// Tokens held.
  [[nodiscard]] QOMPOSE_INLINE std::size_t size() const noexcept { return size_of(state()); }
  /// Tokens of the sequence, those dropped included: the position of the next one.
  [[nodiscard]] QOMPOSE_INLINE std::size_t length() const noexcept { return length_; }
  /// Whether the token of a position is held.
  [[nodiscard]] QOMPOSE_INLINE bool holds(std::size_t token) const noexcept {
    return token < length_ && (token < first_tokens || token >= oldest_);
  }
  /// The oldest token held past the first ones that are kept.
  [[nodiscard]] QOMPOSE_INLINE std::size_t oldest() const noexcept { return oldest_; }
  /// Tokens it can hold; as many as the pool gives for a paged one.
  [[nodiscard]] QOMPOSE_INLINE std::size_t capacity() const noexcept { return capacity_; }
  /// Newest tokens that queries see; 0 for all.
  [[nodiscard]] QOMPOSE_INLINE std::size_t window() const noexcept { return window_; }
  /// The capacity with which a sequence of `context` tokens can be appended `batch` at a time.
  /// @param window  as in `cache_data`
  [[nodiscard]] QOMPOSE_INLINE static constexpr std::size_t capacity_for(
      std::size_t context, std::size_t batch, std::size_t window = 0) noexcept {
    const std::size_t kept = smaller_window(window);
    return kept == 0 ? context : std::min(context, first_tokens + kept - 1 + batch);
  }

  /// Bytes of a block of one KV head.
  [[nodiscard]] QOMPOSE_INLINE static constexpr std::size_t block_bytes(
      std::size_t head_dim) noexcept {
    const detail::cache_geometry geometry{head_dim, block_tokens};
    return detail::key_block<key_codes>(geometry).bytes() +
           detail::value_block<value_codes>(geometry).bytes();
  }
  /// Bytes of the whole capacity, or of the blocks held of a pool, with those that lie exactly.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return first_.bytes() + main_.bytes() + recent_.bytes();
  }
  /// Bytes that one more token takes once it is stored by the specs, on average over a block.
  [[nodiscard]] QOMPOSE_INLINE static constexpr double bytes_per_token(
      std::size_t n_kv_heads, std::size_t head_dim) noexcept {
    return static_cast<double>(n_kv_heads * block_bytes(head_dim)) /
           static_cast<double>(block_tokens);
  }

  /// Forgets all tokens from position `length` on.
  /// @throws qompose::argument_error if fewer were seen, or tokens that the next one would see have
  ///         been dropped; the cache is unchanged then
  template <class Isa = isa_tag>
  void truncate(std::size_t length) {
    if (length > length_) {
      throw argument_error("kv_cache: cannot truncate to " + std::to_string(length) +
                           " tokens, it holds " + std::to_string(length_));
    }
    if (length == length_) return;
    if (length <= first_tokens) {
      // The first ones are all that is left, and they are never dropped.
      start_over();
      length_ = length;
      return;
    }
    if (oldest_ > first_tokens && length + 1 < oldest_ + window_) {
      throw argument_error("kv_cache: cannot truncate to " + std::to_string(length) +
                           " tokens, those before " + std::to_string(oldest_) +
                           " have been dropped and a query sees " + std::to_string(window_));
    }
    if constexpr (has_recent) truncate_recent(length);
    length_ = length;
    key_end_ = std::min(key_end_, length);
    value_end_ = std::min(value_end_, length);
    main_.truncate(std::max(key_end_, value_end_));
  }

  /// Appends tokens.
  /// @param k  keys, [n_tokens, n_kv_heads * head_dim], finite; after rotary embedding unless the
  ///           keys are stored before_rope
  /// @param v  values, the same shape
  /// @throws qompose::shape_error if the shapes disagree
  /// @throws qompose::value_error if a number is not finite, or past what the spec can hold
  /// @throws qompose::argument_error if they do not fit
  /// @throws qompose::out_of_blocks if the pool has too few blocks; the cache is unchanged in all
  ///         cases
  template <class Isa = isa_tag>
  void append(matrix_view<const float> k, matrix_view<const float> v) {
    const std::size_t width = n_kv_heads_ * head_dim_;
    if (k.cols() != width) throw_shape_error("kv_cache: k", k.rows(), k.cols(), k.rows(), width);
    if (v.cols() != width || v.rows() != k.rows()) {
      throw_shape_error("kv_cache: v", v.rows(), v.cols(), k.rows(), width);
    }
    require_room(k.rows());
    require_finite<Isa>("k", k, key_side::exact::max_finite);
    require_finite<Isa>("v", v, value_side::exact::max_finite);
    const std::size_t end = length_ + k.rows();
    if (window_ > 0) drop_unseen(end);
    main_.prepare(std::min(key_end_, value_end_), std::max(key_end_at(end), value_end_at(end)));
    for (std::size_t done = 0; done < k.rows();) {
      const std::size_t count = std::min(k.rows() - done, most_together);
      store(k.rows(done, count), v.rows(done, count));
      done += count;
    }
  }

  /// The key of a token as it is stored, transforms undone; before rotary embedding for keys
  /// before_rope.
  /// @param head   KV head, 0 .. n_kv_heads - 1
  /// @param token  its position, of a token that is held
  /// @param x      head_dim floats, overwritten
  /// @throws qompose::argument_error if there is no such head or the token is not held
  QOMPOSE_INLINE void load_key(std::size_t head, std::size_t token, std::span<float> x) const {
    require_held(head, token, x.size());
    if (token < first_tokens || (keys_wait && token >= key_end_)) {
      const detail::block_table& table = token < first_tokens ? first_ : recent_;
      detail::key_store<exact_key_codes>(geometry(exact_tokens), nullptr)
          .load(table.block(head, token), table.place(token), x.data());
    } else {
      detail::key_store<key_codes>(geometry(block_tokens), key_entries_.data())
          .load(main_.block(head, token), main_.place(token), x.data());
    }
    key_transform::unfold(key_data_, x.data(), head_dim_);
  }
  /// The value of a token as it is stored, transforms undone; otherwise as above.
  QOMPOSE_INLINE void load_value(std::size_t head, std::size_t token, std::span<float> x) const {
    require_held(head, token, x.size());
    if (token < first_tokens || (values_wait && token >= value_end_)) {
      const bool is_first = token < first_tokens;
      const detail::block_table& table = is_first ? first_ : recent_;
      detail::value_store<exact_value_codes>(geometry(exact_tokens), nullptr)
          .load(table.block(head, token) + exact_values_at(is_first || keys_wait),
                table.place(token), x.data());
    } else {
      detail::value_store<value_codes>(geometry(block_tokens), value_entries_.data())
          .load(main_.block(head, token) + main_values_at(), main_.place(token), x.data());
    }
    value_transform::unfold(value_data_, x.data(), head_dim_);
  }

  /// What a file keeps beside the blocks; see io/cache_file.hpp.
  struct state_type {
    std::size_t length = 0;
    std::size_t oldest = 0;
    std::size_t key_end = 0;
    std::size_t value_end = 0;
  };
  [[nodiscard]] QOMPOSE_INLINE state_type state() const noexcept {
    return {length_, oldest_, key_end_, value_end_};
  }
  /// The blocks of exact first tokens, of tokens as the specs say, of tokens that wait.
  [[nodiscard]] QOMPOSE_INLINE std::array<const detail::block_table*, 3> tables() const noexcept {
    return {&first_, &main_, &recent_};
  }
  [[nodiscard]] QOMPOSE_INLINE std::span<const float> key_entries() const noexcept {
    return {key_entries_.data(), n_entries<key_codes>()};
  }
  [[nodiscard]] QOMPOSE_INLINE std::span<const float> value_entries() const noexcept {
    return {value_entries_.data(), n_entries<value_codes>()};
  }
  /// Takes the state of a sequence into an empty cache and makes room for its blocks, which the
  /// caller fills; `starts` are the first tokens of the three tables.
  /// @throws qompose::argument_error if there is no such state, or no room for it
  QOMPOSE_INLINE void restore(const state_type& state, const std::array<std::size_t, 3>& starts) {
    const std::size_t past = std::max(state.length, first_tokens);
    const std::size_t stored = std::max(state.key_end, state.value_end);
    const std::size_t waiting =
        std::min(keys_wait ? state.key_end : past, values_wait ? state.value_end : past);
    const auto is_end = [&](std::size_t end, bool waits) {
      return end >= first_tokens && end <= past && (waits || end == past);
    };
    const bool is_sound =
        length_ == 0 && is_end(state.key_end, keys_wait) && is_end(state.value_end, values_wait) &&
        (!is_per_channel || (state.key_end - first_tokens) % block_tokens == 0) &&
        state.oldest >= first_tokens && state.oldest <= past &&
        (state.oldest == first_tokens || window_ > 0) && starts[0] == 0 &&
        starts[1] >= first_tokens && starts[1] <= state.oldest && starts[1] <= stored &&
        (starts[1] - first_tokens) % block_tokens == 0 && stored - starts[1] <= main_.room() &&
        (!has_recent || (starts[2] >= first_tokens && starts[2] <= waiting &&
                         past - starts[2] <= recent_.room())) &&
        size_of(state) <= capacity_;
    if (!is_sound) {
      throw argument_error("kv_cache: " + std::to_string(state.length) +
                           " tokens in such blocks do not fit this cache");
    }
    main_.start_at(starts[1]);
    main_.prepare(starts[1], stored);
    if constexpr (has_recent) {
      recent_.start_at(starts[2]);
      recent_.prepare(starts[2], past);
    }
    if constexpr (first_tokens > 0) first_.prepare(0, std::min(state.length, first_tokens));
    length_ = state.length;
    oldest_ = state.oldest;
    key_end_ = state.key_end;
    value_end_ = state.value_end;
  }

  /// For files: whether what others have written to blocks can be read.
  using contents::has_sound_places;
  using contents::is_finite;

  /// What the attention kernels read; for `attention`.
  /// @param regions  room for three, to which the arguments point
  [[nodiscard]] QOMPOSE_INLINE detail::attention_arguments attention_arguments(
      detail::cache_region* regions) const noexcept {
    detail::attention_arguments a;
    regions[0] = first_.region();
    regions[0].values_at = exact_values_at(true);
    regions[1] = main_.region();
    regions[1].values_at = main_values_at();
    regions[2] = recent_.region();
    regions[2].values_at = exact_values_at(keys_wait);
    // Each token's keys, and values, lie in the first blocks, the main ones, or the recent ones.
    const std::size_t cuts[] = {std::min(length_, sinks), std::min(length_, first_tokens),
                                std::min(key_end_, value_end_), std::max(key_end_, value_end_),
                                length_};
    std::size_t begin = 0;
    for (const std::size_t cut : cuts) {
      const std::size_t end = std::min(cut, length_);
      if (begin >= first_tokens) begin = std::max(begin, oldest_);
      if (begin >= end) continue;
      detail::cache_segment& segment = a.segments[a.n_segments++];
      segment.begin = begin;
      segment.end = end;
      const bool is_first = begin < first_tokens;
      segment.keys_are_exact = is_first || begin >= key_end_;
      segment.values_are_exact = is_first || begin >= value_end_;
      segment.keys = is_first ? &regions[0] : segment.keys_are_exact ? &regions[2] : &regions[1];
      segment.values = is_first                   ? &regions[0]
                       : segment.values_are_exact ? &regions[2]
                                                  : &regions[1];
      begin = end;
    }
    a.head_dim = head_dim_;
    a.sinks = sinks;
    a.window = window_;
    a.key_entries = key_entries_.data();
    a.value_entries = value_entries_.data();
    if constexpr (is_before_rope && window_tokens > 0) {
      // Positions count within what is kept, the sinks before it.
      a.position_shift = main_.first_token() - first_tokens;
      a.last_position = sinks + window_ - 1;
    }
    return a;
  }
  [[nodiscard]] QOMPOSE_INLINE const typename key_transform::data& key_data() const noexcept {
    return key_data_;
  }
  [[nodiscard]] QOMPOSE_INLINE const typename value_transform::data& value_data() const noexcept {
    return value_data_;
  }

 private:
  /// What all constructors do.
  QOMPOSE_INLINE kv_cache(std::size_t n_kv_heads, std::size_t head_dim, const cache_data& data,
                          std::size_t capacity)
      : contents(n_kv_heads, head_dim, capacity, smaller_window(data.window)) {
    if (n_kv_heads == 0 || head_dim == 0 || head_dim > max_head_dim ||
        (is_before_rope && head_dim % 2 != 0)) {
      throw argument_error("kv_cache: " + std::to_string(n_kv_heads) + " heads of " +
                           std::to_string(head_dim) + ", expected at least one of 1.." +
                           std::to_string(max_head_dim) +
                           (is_before_rope ? ", even for keys before_rope" : ""));
    }
    key_entries_ = entries<key_codes>("keys", data.key_entries);
    value_entries_ = entries<value_codes>("values", data.value_entries);
    key_data_ = detail::transform_data_for<key_transform>(head_dim);
    value_data_ = detail::transform_data_for<value_transform>(head_dim);
    if constexpr (first_tokens > 0) {
      first_ = detail::block_table(n_kv_heads, exact_tokens, exact_block_bytes(true, true),
                                   divide_up(std::min(first_tokens, capacity), exact_tokens));
    }
    if constexpr (has_recent) {
      const std::size_t most = std::min(most_waiting + most_together, capacity) + exact_tokens - 1;
      recent_ =
          detail::block_table(n_kv_heads, exact_tokens, exact_block_bytes(keys_wait, values_wait),
                              divide_up(most, exact_tokens));
      recent_.start_at(first_tokens);
    }
  }

  [[nodiscard]] QOMPOSE_INLINE static std::size_t size_of(const state_type& state) noexcept {
    return std::min(state.length, first_tokens) + state.length -
           std::min(state.length, state.oldest);
  }
  QOMPOSE_INLINE void require_held(std::size_t head, std::size_t token, std::size_t n) const {
    if (head < n_kv_heads_ && holds(token) && n == head_dim_) return;
    throw argument_error("kv_cache: token " + std::to_string(token) + " of head " +
                         std::to_string(head) + " into " + std::to_string(n) +
                         " floats; it holds " + std::to_string(size()) + " of " +
                         std::to_string(length_) + " tokens of " + std::to_string(n_kv_heads_) +
                         " heads of " + std::to_string(head_dim_));
  }
  template <class Codes>
  [[nodiscard]] QOMPOSE_INLINE static constexpr std::size_t n_entries() noexcept {
    if constexpr (Codes::is_learned) return static_cast<std::size_t>(Codes::element::entries);
    return 0;
  }
  /// Of the policy's window and another one; 0 is none.
  [[nodiscard]] QOMPOSE_INLINE static constexpr std::size_t smaller_window(
      std::size_t window) noexcept {
    if (window == 0 || window_tokens == 0) return std::max(window, window_tokens);
    return std::min(window, window_tokens);
  }

  template <class Codes>
  QOMPOSE_INLINE static aligned_buffer<float> entries(const char* side,
                                                      std::span<const float> given) {
    constexpr std::size_t wanted = n_entries<Codes>();
    if (given.size() != wanted) {
      throw argument_error("kv_cache: " + std::to_string(given.size()) + " codebook entries for " +
                           side + ", expected " + std::to_string(wanted));
    }
    if (wanted == 0) return {};
    // Kernels look up as many as the bits can spell.
    aligned_buffer<float> kept(std::max<std::size_t>(Codes::codebook_floats, 16));
    std::copy(given.begin(), given.end(), kept.data());
    return kept;
  }

  /// The oldest token past the first ones that the next query sees.
  [[nodiscard]] QOMPOSE_INLINE std::size_t oldest_seen() const noexcept {
    return length_ + 1 > window_ ? length_ + 1 - window_ : 0;
  }
  QOMPOSE_INLINE void require_room(std::size_t n_tokens) const {
    std::size_t kept = size();
    if (window_ > 0) {
      const std::size_t oldest = std::max(oldest_, oldest_seen());
      kept = std::min(length_, first_tokens) + length_ - std::min(length_, oldest);
    }
    if (kept <= capacity_ && n_tokens <= capacity_ - kept) return;
    throw argument_error("kv_cache: no room for " + std::to_string(n_tokens) + " tokens after " +
                         std::to_string(kept) + ", capacity " + std::to_string(capacity_));
  }
  template <class Isa>
  QOMPOSE_INLINE static void require_finite(const char* what, matrix_view<const float> x,
                                            float most) {
    const auto find_range =
        detail::with_best_target<Isa>([]<class Target>() { return &Target::range_of::Groups; });
    for (std::size_t t = 0; t < x.rows(); ++t) {
      value_range range;
      find_range(x.row(t), x.cols(), x.cols(), true, &range);
      if (range.highest <= most) continue;
      throw value_error("kv_cache: " + std::string(what) + ": row " + std::to_string(t) +
                        " holds a number that is not finite, or past " + std::to_string(most));
    }
  }

  /// Drops tokens that no query from `length_` on sees, as few as a sequence of `end` tokens needs.
  QOMPOSE_INLINE void drop_unseen(std::size_t end) noexcept {
    const std::size_t unseen = std::min(oldest_seen(), std::min(key_end_, value_end_));
    if constexpr (is_paged) {
      main_.drop_before(std::max(unseen, first_tokens));
      oldest_ = main_.first_token();
    } else {
      if (end > capacity_) oldest_ = std::max(oldest_, end - capacity_ + first_tokens);
      if (end > main_.first_token() + main_.room()) {
        main_.drop_before(std::max(std::min(unseen, oldest_), first_tokens));
      }
    }
  }
};

}  // namespace qompose
