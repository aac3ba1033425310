// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The blocks of a cache, and how tokens get into them: at once, when they have waited, or
///        back again.

#include <algorithm>
#include <cstddef>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/nn/block_table.hpp"
#include "qompose/nn/cache_composition.hpp"
#include "qompose/nn/cache_store.hpp"
#include "qompose/packing/cache_block.hpp"

namespace qompose::detail {

/// What a kv_cache<Parts...> holds. Nothing is checked here.
template <class... Parts>
class cache_contents : public cache_composition<Parts...> {
 protected:
  using composition = cache_composition<Parts...>;
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
  using composition::key_residual;
  using composition::keys_wait;
  using composition::most_together;
  using composition::most_waiting;
  using composition::value_residual;
  using composition::values_wait;

  using composition::block_tokens;

  QOMPOSE_INLINE cache_contents() noexcept = default;
  QOMPOSE_INLINE cache_contents(std::size_t n_kv_heads, std::size_t head_dim, std::size_t capacity,
                                std::size_t window) noexcept
      : n_kv_heads_(n_kv_heads), head_dim_(head_dim), capacity_(capacity), window_(window) {}

  [[nodiscard]] QOMPOSE_INLINE cache_geometry geometry(std::size_t tokens) const noexcept {
    return {head_dim_, tokens};
  }
  /// Bytes before the values of a main block.
  [[nodiscard]] QOMPOSE_INLINE std::size_t main_values_at() const noexcept {
    return key_block<key_codes>(geometry(block_tokens)).bytes();
  }
  /// Bytes before the values of an exact block, and of all of it.
  [[nodiscard]] QOMPOSE_INLINE std::size_t exact_values_at(bool has_keys) const noexcept {
    if (!has_keys) return 0;
    return key_block<exact_key_codes>(geometry(exact_tokens)).bytes();
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t exact_block_bytes(bool has_keys,
                                                             bool has_values) const noexcept {
    std::size_t values = 0;
    if (has_values) values = value_block<exact_value_codes>(geometry(exact_tokens)).bytes();
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

  /// Appends tokens for which there is room.
  QOMPOSE_INLINE void store(matrix_view<const float> k, matrix_view<const float> v) {
    const std::size_t end = length_ + k.rows();
    if constexpr (first_tokens > 0) first_.prepare(length_, std::min(end, first_tokens));
    if constexpr (has_recent) {
      recent_.prepare(std::max(length_, first_tokens), end);
    }
    key_store<exact_key_codes> exact_keys(geometry(exact_tokens), nullptr);
    value_store<exact_value_codes> exact_values(geometry(exact_tokens), nullptr);
    key_store<key_codes> main_keys(geometry(block_tokens), key_entries_.data());
    value_store<value_codes> main_values(geometry(block_tokens), value_entries_.data());
    float row[max_head_dim];
    const std::size_t values_at = main_values_at();
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
          main_values.store(main_.block(h, t) + values_at, main_.place(t), value);
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
          main_values.store(main_.block(h, t) + values_at, main_.place(t), row);
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

  /// Whether the elements of blocks that are kept apart lie within the heads, whoever has written
  /// the blocks.
  [[nodiscard]] QOMPOSE_INLINE bool has_sound_places() const {
    return all_blocks([](const auto& store, const std::byte* at)
                          QOMPOSE_FLATTEN { return store.has_sound_places(at); });
  }
  /// Whether all numbers in blocks are finite, those of padding too, which kernels read.
  [[nodiscard]] QOMPOSE_INLINE bool is_finite() const {
    return all_blocks([](const auto& store, const std::byte* at)
                          QOMPOSE_FLATTEN { return store.is_finite(at); });
  }
  /// Whether `is(store, block)` holds for the keys, and the values, of all blocks.
  template <class Is>
  [[nodiscard]] QOMPOSE_INLINE bool all_blocks(Is&& is) const {
    const key_store<exact_key_codes> exact_keys(geometry(exact_tokens), nullptr);
    const value_store<exact_value_codes> exact_values(geometry(exact_tokens), nullptr);
    const key_store<key_codes> main_keys(geometry(block_tokens), key_entries_.data());
    const value_store<value_codes> main_values(geometry(block_tokens), value_entries_.data());
    return first_.all_of([&](const std::byte* block) QOMPOSE_FLATTEN {
      return is(exact_keys, block) && is(exact_values, block + exact_values_at(true));
    }) && main_.all_of([&](const std::byte* block) QOMPOSE_FLATTEN {
      return is(main_keys, block) && is(main_values, block + main_values_at());
    }) && recent_.all_of([&](const std::byte* block) QOMPOSE_FLATTEN {
      return (!keys_wait || is(exact_keys, block)) &&
             (!values_wait || is(exact_values, block + exact_values_at(keys_wait)));
    });
  }

  /// Quantizes the blocks whose tokens have all come.
  QOMPOSE_INLINE void close_blocks(key_store<key_codes>& main_keys,
                                   const key_store<exact_key_codes>& exact_keys) {
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
        main_keys.finish_block(main_.block(h, first));
      }
    }
  }

  /// Forgets all tokens but the first ones.
  QOMPOSE_INLINE void start_over() noexcept {
    key_end_ = value_end_ = oldest_ = first_tokens;
    for (block_table* table : {&main_, &recent_}) {
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
    value_store<exact_value_codes> values(geometry(exact_tokens), nullptr);
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
      key_store<key_codes> main_keys(geometry(block_tokens), key_entries_.data());
      key_store<exact_key_codes> exact_keys(geometry(exact_tokens), nullptr);
      float row[max_head_dim];
      for (std::size_t h = 0; h < n_kv_heads_; ++h) {
        for (std::size_t t = keys_from; t < length; ++t) {
          main_keys.load(main_.block(h, t), main_.place(t), row);
          exact_keys.store(recent_.block(h, t), recent_.place(t), row);
        }
      }
      key_end_ = keys_from;
    }
  }

  std::size_t n_kv_heads_ = 0;
  std::size_t head_dim_ = 0;
  std::size_t capacity_ = 0;
  std::size_t window_ = composition::window_tokens;  ///< newest tokens that queries see; 0 for all
  std::size_t length_ = 0;
  std::size_t oldest_ = first_tokens;   ///< token held past the first ones
  std::size_t key_end_ = first_tokens;  ///< keys before it are stored by the spec
  std::size_t value_end_ = first_tokens;
  block_table first_;   ///< exact ones that never leave
  block_table main_;    ///< stored by the specs
  block_table recent_;  ///< exact ones that are to be quantized
  aligned_buffer<float> key_entries_;
  aligned_buffer<float> value_entries_;
  [[no_unique_address]] typename key_transform::data key_data_;
  [[no_unique_address]] typename value_transform::data value_data_;
};

}  // namespace qompose::detail
