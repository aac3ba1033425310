// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The keys and values of one sequence in one layer.

#include <algorithm>
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
class kv_cache {
  static_assert((recipe_part<Parts> && ...),
                "qompose: kv_cache: an argument fills no slot; wrap it in keys<>, values<>, "
                "layout<> or eviction<>");
  static_assert(((detail::count_part<typename Parts::slot, Parts...> == 1) && ...),
                "qompose: kv_cache: a slot is given twice; name each slot once");

  using keys_part = typename detail::find_part<detail::keys_slot, keys<fp32>, Parts...>::type;
  using values_part = typename detail::find_part<detail::values_slot, values<fp32>, Parts...>::type;
  using first_part =
      typename detail::find_part<detail::exact_first_slot, exact_first<0>, Parts...>::type;

 public:
  using key_spec = typename keys_part::policy;
  using value_spec = typename values_part::policy;
  using layout_type =
      typename detail::find_part<detail::layout_slot, layout<contiguous>, Parts...>::type::policy;
  using eviction_type =
      typename detail::find_part<detail::eviction_slot, eviction<keep_all>, Parts...>::type::policy;

  static constexpr bool is_paged = !std::is_same_v<layout_type, contiguous>;
  /// Tokens that every query sees, and newest tokens that it sees; 0 for all.
  static constexpr std::size_t sinks = eviction_type::sinks;
  static constexpr std::size_t window_tokens = eviction_type::tokens;
  /// Whether keys are rotated when they are read, so that `attention` needs a rope_table.
  static constexpr bool is_before_rope = keys_part::options::before_rope;

 private:
  using key_codes = detail::cache_codes<key_spec>;
  using value_codes = detail::cache_codes<value_spec>;
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

 public:
  /// Tokens of a block.
  static constexpr std::size_t block_tokens =
      is_per_channel && !is_paged ? key_residual : layout_type::block_tokens;

 private:
  static_assert(block_tokens % detail::cache_step<key_spec> == 0 &&
                    block_tokens % detail::cache_step<value_spec> == 0,
                "qompose: kv_cache: the tokens of a block are no multiple of 16 (of 32 beside "
                "codes of an odd number of bits); write residual<128> or paged<64>");
  static_assert(!is_per_channel || block_tokens <= 1024,
                "qompose: kv_cache: more than 1024 tokens would share the scales of a channel; "
                "write residual<128> or paged<64>");

  /// Tokens at the start that are kept exactly.
  static constexpr std::size_t first_tokens = std::max(sinks, first_part::tokens);
  /// Whether new keys, and values, wait in exact blocks.
  static constexpr bool keys_wait =
      !detail::is_plain_float<key_spec> && (is_per_channel || key_residual > 0);
  static constexpr bool values_wait = !detail::is_plain_float<value_spec> && value_residual > 0;
  static constexpr bool has_recent = keys_wait || values_wait;

 public:
  /// For the kernels.
  using key_side = detail::cache_side<key_spec, typename keys_part::options::transform,
                                      is_before_rope, (first_tokens > 0 || keys_wait)>;
  using value_side = detail::cache_side<value_spec, typename values_part::options::transform, false,
                                        (first_tokens > 0 || values_wait)>;

 private:
  using key_transform = typename key_side::transform;
  using value_transform = typename value_side::transform;
  using exact_key_codes = detail::cache_codes<typename key_side::exact>;
  using exact_value_codes = detail::cache_codes<typename value_side::exact>;
  static_assert(detail::makes_own_data<key_transform> && detail::makes_own_data<value_transform>,
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

 public:
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
  [[nodiscard]] QOMPOSE_INLINE std::size_t size() const noexcept {
    return std::min(length_, first_tokens) + (length_ - std::min(length_, oldest_));
  }
  /// Tokens of the sequence, those dropped included: the position of the next one.
  [[nodiscard]] QOMPOSE_INLINE std::size_t length() const noexcept { return length_; }
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

  /// What the attention kernels read; for `attention`.
  /// @param regions  room for three, to which the arguments point
  [[nodiscard]] QOMPOSE_INLINE detail::attention_arguments attention_arguments(
      detail::cache_region* regions) const noexcept {
    detail::attention_arguments a;
    regions[0] = first_.region();
    regions[0].values_at = exact_values_at(true);
    regions[1] = main_.region();
    regions[1].values_at = detail::key_block<key_codes>(geometry(block_tokens)).bytes();
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
      : n_kv_heads_(n_kv_heads),
        head_dim_(head_dim),
        capacity_(capacity),
        window_(smaller_window(data.window)) {
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
    key_end_ = value_end_ = first_tokens;
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

  /// Of the policy's window and another one; 0 is none.
  [[nodiscard]] QOMPOSE_INLINE static constexpr std::size_t smaller_window(
      std::size_t window) noexcept {
    if (window == 0 || window_tokens == 0) return std::max(window, window_tokens);
    return std::min(window, window_tokens);
  }

  template <class Codes>
  QOMPOSE_INLINE static aligned_buffer<float> entries(const char* side,
                                                      std::span<const float> given) {
    std::size_t wanted = 0;
    if constexpr (Codes::is_learned) wanted = static_cast<std::size_t>(Codes::element::entries);
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

  [[nodiscard]] QOMPOSE_INLINE detail::cache_geometry geometry(std::size_t tokens) const noexcept {
    return {head_dim_, tokens};
  }
  /// Bytes before the values of an exact block, and of all of it.
  [[nodiscard]] QOMPOSE_INLINE std::size_t exact_values_at(bool has_keys) const noexcept {
    if (!has_keys) return 0;
    return detail::key_block<exact_key_codes>(geometry(exact_tokens)).bytes();
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t exact_block_bytes(bool has_keys,
                                                             bool has_values) const noexcept {
    std::size_t values = 0;
    if (has_values) values = detail::value_block<exact_value_codes>(geometry(exact_tokens)).bytes();
    return exact_values_at(has_keys) + values;
  }

  /// Where keys, and values, stored by their specs end in a sequence of `length` tokens.
  [[nodiscard]] QOMPOSE_INLINE std::size_t key_end_at(std::size_t length) const noexcept {
    if (length <= first_tokens) return key_end_;
    if constexpr (keys_wait && is_per_channel) {
      return std::max(key_end_,
                      first_tokens + (length - first_tokens) / block_tokens * block_tokens);
    }
    if constexpr (keys_wait) {
      return length > key_residual ? std::max(key_end_, length - key_residual) : key_end_;
    }
    return length;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t value_end_at(std::size_t length) const noexcept {
    if (length <= first_tokens) return value_end_;
    if constexpr (values_wait) {
      return length > value_residual ? std::max(value_end_, length - value_residual) : value_end_;
    }
    return length;
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

  /// Appends tokens for which there is room.
  QOMPOSE_INLINE void store(matrix_view<const float> k, matrix_view<const float> v) {
    const std::size_t end = length_ + k.rows();
    if constexpr (first_tokens > 0) first_.prepare(length_, std::min(end, first_tokens));
    if constexpr (has_recent) {
      recent_.prepare(std::max(length_, first_tokens), end);
    }
    detail::key_store<exact_key_codes> exact_keys(geometry(exact_tokens), nullptr);
    detail::value_store<exact_value_codes> exact_values(geometry(exact_tokens), nullptr);
    detail::key_store<key_codes> main_keys(geometry(block_tokens), key_entries_.data());
    detail::value_store<value_codes> main_values(geometry(block_tokens), value_entries_.data());
    float row[max_head_dim];
    const std::size_t main_values_at = detail::key_block<key_codes>(geometry(block_tokens)).bytes();
    for (std::size_t h = 0; h < n_kv_heads_; ++h) {
      for (std::size_t i = 0; i < k.rows(); ++i) {
        const std::size_t t = length_ + i;
        const float* key = folded<key_transform>(key_data_, k.row(i) + h * head_dim_, row);
        if (t < first_tokens) {
          exact_keys.store(first_.block(h, t), first_.place(t), key);
        } else if constexpr (keys_wait) {
          exact_keys.store(recent_.block(h, t), recent_.place(t), key);
        } else if constexpr (!is_per_channel) {
          main_keys.store(main_.block(h, t), main_.place(t), key);
        }
        const float* value = folded<value_transform>(value_data_, v.row(i) + h * head_dim_, row);
        if (t < first_tokens) {
          exact_values.store(first_.block(h, t) + exact_values_at(true), first_.place(t), value);
        } else if constexpr (values_wait) {
          exact_values.store(recent_.block(h, t) + exact_values_at(keys_wait), recent_.place(t),
                             value);
        } else {
          main_values.store(main_.block(h, t) + main_values_at, main_.place(t), value);
        }
      }
    }
    length_ = end;
    if constexpr (is_per_channel) {
      close_blocks(main_keys, exact_keys);
    } else if constexpr (keys_wait) {
      for (std::size_t t = key_end_; t < key_end_at(length_); ++t) {
        for (std::size_t h = 0; h < n_kv_heads_; ++h) {
          exact_keys.load(recent_.block(h, t), recent_.place(t), row);
          main_keys.store(main_.block(h, t), main_.place(t), row);
        }
      }
    }
    if constexpr (values_wait) {
      for (std::size_t t = value_end_; t < value_end_at(length_); ++t) {
        for (std::size_t h = 0; h < n_kv_heads_; ++h) {
          exact_values.load(recent_.block(h, t) + exact_values_at(keys_wait), recent_.place(t),
                            row);
          main_values.store(main_.block(h, t) + main_values_at, main_.place(t), row);
        }
      }
    }
    key_end_ = key_end_at(length_);
    value_end_ = value_end_at(length_);
    if constexpr (has_recent) {
      const std::size_t waiting_from =
          std::min(keys_wait ? key_end_ : length_, values_wait ? value_end_ : length_);
      recent_.drop_before(waiting_from);
    }
  }

  /// A token of a head as it is stored.
  template <class Transform>
  QOMPOSE_INLINE const float* folded(const typename Transform::data& data, const float* x,
                                     float* row) const noexcept {
    if constexpr (Transform::is_identity) {
      return x;
    } else {
      std::copy_n(x, head_dim_, row);
      Transform::fold(data, row, head_dim_);
      return row;
    }
  }

  /// Quantizes the blocks whose tokens have all come.
  QOMPOSE_INLINE void close_blocks(detail::key_store<key_codes>& main_keys,
                                   const detail::key_store<exact_key_codes>& exact_keys) {
    float channel[block_tokens];
    for (std::size_t first = key_end_; first < key_end_at(length_); first += block_tokens) {
      for (std::size_t h = 0; h < n_kv_heads_; ++h) {
        for (std::size_t d = 0; d < head_dim_; ++d) {
          for (std::size_t i = 0; i < block_tokens; ++i) {
            const std::size_t t = first + i;
            channel[i] = exact_keys.element(recent_.block(h, t), recent_.place(t), d);
          }
          main_keys.store_channel(main_.block(h, first), d, channel);
        }
      }
    }
  }

  /// Forgets all tokens but the first ones.
  QOMPOSE_INLINE void start_over() noexcept {
    key_end_ = value_end_ = oldest_ = first_tokens;
    for (detail::block_table* table : {&main_, &recent_}) {
      table->truncate(0);
      table->start_at(first_tokens);
    }
  }

  /// Leaves in the recent blocks what waits in a sequence of `length` tokens. Keys of a block that
  /// is no longer full wait again, as what the block had made of them.
  QOMPOSE_INLINE void truncate_recent(std::size_t length) {
    std::size_t keys_from = keys_wait ? std::min(key_end_, length) : length;
    const bool reopens = is_per_channel && length < key_end_;
    if (reopens) {
      keys_from = first_tokens + (length - first_tokens) / block_tokens * block_tokens;
    }
    const std::size_t values_from = values_wait ? std::min(value_end_, length) : length;
    const std::size_t begin = std::min(keys_from, values_from);
    detail::value_store<exact_value_codes> values(geometry(exact_tokens), nullptr);
    if (begin >= recent_.first_token() && begin < length) {
      recent_.truncate(length);
    } else {
      // Blocks cannot be added before the first one, so all start anew.
      const std::size_t n = length - values_from;
      aligned_buffer<float> kept(n * n_kv_heads_ * head_dim_);
      const auto for_each_value = [&](auto&& use) {
        for (std::size_t h = 0; values_wait && h < n_kv_heads_; ++h) {
          for (std::size_t t = values_from; t < length; ++t) {
            use(recent_.block(h, t) + exact_values_at(keys_wait), recent_.place(t),
                kept.data() + (h * n + t - values_from) * head_dim_);
          }
        }
      };
      for_each_value(
          [&](std::byte* block, std::size_t place, float* row) { values.load(block, place, row); });
      recent_.truncate(0);
      recent_.start_at(begin);
      recent_.prepare(begin, length);
      for_each_value([&](std::byte* block, std::size_t place, float* row) {
        values.store(block, place, row);
      });
    }
    if constexpr (is_per_channel) {
      if (!reopens) return;
      detail::key_store<key_codes> main_keys(geometry(block_tokens), key_entries_.data());
      detail::key_store<exact_key_codes> exact_keys(geometry(exact_tokens), nullptr);
      float row[max_head_dim];
      for (std::size_t h = 0; h < n_kv_heads_; ++h) {
        for (std::size_t t = keys_from; t < length; ++t) {
          main_keys.load_quantized(main_.block(h, t), main_.place(t), row);
          exact_keys.store(recent_.block(h, t), recent_.place(t), row);
        }
      }
      key_end_ = keys_from;
    }
  }

  std::size_t n_kv_heads_ = 0;
  std::size_t head_dim_ = 0;
  std::size_t capacity_ = 0;
  std::size_t window_ = window_tokens;
  std::size_t length_ = 0;
  std::size_t oldest_ = first_tokens;   ///< token held past the first ones
  std::size_t key_end_ = first_tokens;  ///< keys before it are stored by the spec
  std::size_t value_end_ = first_tokens;
  detail::block_table first_;   ///< exact ones that never leave
  detail::block_table main_;    ///< stored by the specs
  detail::block_table recent_;  ///< exact ones that are to be quantized
  aligned_buffer<float> key_entries_;
  aligned_buffer<float> value_entries_;
  [[no_unique_address]] typename key_transform::data key_data_;
  [[no_unique_address]] typename value_transform::data value_data_;
};

}  // namespace qompose
