// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The keys and values of one sequence in one layer.

#include <cstddef>
#include <string>
#include <type_traits>

#include "qompose/cache/cache_parts.hpp"
#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/packing/panels.hpp"

namespace qompose {

/// Keys and values of the tokens seen so far, each side stored by a spec of its own.
///
/// @tparam Parts  `keys<>`, `values<>`, `layout<>`, `eviction<>`, in any order; defaults fp32,
///                fp32, contiguous, keep_all
/// @par Storage
/// [n_kv_heads][capacity][head_dim padded to 16]; keys in panels of 16 tokens. int8 sides keep one
/// float scale per token and KV head.
template <class... Parts>
class kv_cache {
  static_assert((recipe_part<Parts> && ...),
                "qompose: kv_cache: an argument fills no slot; wrap it in keys<>, values<>, "
                "layout<> or eviction<>");
  static_assert(((detail::count_part<typename Parts::slot, Parts...> == 1) && ...),
                "qompose: kv_cache: a slot is given twice; name each slot once");

 public:
  using key_spec =
      typename detail::find_part<detail::keys_slot, keys<fp32>, Parts...>::type::policy;
  using value_spec =
      typename detail::find_part<detail::values_slot, values<fp32>, Parts...>::type::policy;

  QOMPOSE_INLINE kv_cache() noexcept = default;

  /// An empty cache.
  /// @param n_kv_heads  KV heads, >= 1
  /// @param head_dim    elements a head, 1 .. max_head_dim
  /// @param capacity    tokens it can hold
  /// @throws qompose::argument_error if a number is out of its range
  QOMPOSE_INLINE kv_cache(std::size_t n_kv_heads, std::size_t head_dim, std::size_t capacity)
      : n_kv_heads_(n_kv_heads),
        head_dim_(head_dim),
        padded_dim_(round_up(head_dim, panel_rows)),
        capacity_(capacity),
        padded_capacity_(round_up(capacity, panel_rows)) {
    if (n_kv_heads == 0 || head_dim == 0 || head_dim > max_head_dim) {
      throw argument_error("kv_cache: " + std::to_string(n_kv_heads) + " heads of " +
                           std::to_string(head_dim) + ", expected at least one of 1.." +
                           std::to_string(max_head_dim));
    }
    const std::size_t tokens = n_kv_heads * padded_capacity_;
    keys_ = side(tokens, code_bytes<key_spec>, has_scales<key_spec>);
    values_ = side(tokens, code_bytes<value_spec>, has_scales<value_spec>);
  }

  [[nodiscard]] QOMPOSE_INLINE std::size_t n_kv_heads() const noexcept { return n_kv_heads_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t head_dim() const noexcept { return head_dim_; }
  /// Tokens held.
  [[nodiscard]] QOMPOSE_INLINE std::size_t size() const noexcept { return size_; }
  /// Tokens it can hold.
  [[nodiscard]] QOMPOSE_INLINE std::size_t capacity() const noexcept { return capacity_; }
  /// Bytes reserved for the whole capacity.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
    return keys_.bytes() + values_.bytes();
  }
  /// Bytes that one more token takes, padding of the head included.
  [[nodiscard]] QOMPOSE_INLINE static constexpr std::size_t bytes_per_token(
      std::size_t n_kv_heads, std::size_t head_dim) noexcept {
    const std::size_t dim = round_up(head_dim, panel_rows);
    return n_kv_heads * (dim * (code_bytes<key_spec> + code_bytes<value_spec>)+sizeof(float) *
                         (has_scales<key_spec> + has_scales<value_spec>));
  }

  /// Forgets all tokens from position `size` on.
  /// @throws qompose::argument_error if the cache holds fewer
  QOMPOSE_INLINE void truncate(std::size_t size) {
    if (size > size_) {
      throw argument_error("kv_cache: cannot truncate to " + std::to_string(size) +
                           " tokens, it holds " + std::to_string(size_));
    }
    size_ = size;
  }

  /// Appends tokens.
  /// @param k  keys after rotary embedding, [n_tokens, n_kv_heads * head_dim], finite
  /// @param v  values, the same shape
  /// @throws qompose::shape_error if the shapes disagree
  /// @throws qompose::argument_error if they do not fit; the cache is unchanged then
  template <class Isa = isa_tag>
  void append(matrix_view<const float> k, matrix_view<const float> v) {
    const std::size_t width = n_kv_heads_ * head_dim_;
    if (k.cols() != width) throw_shape_error("kv_cache: k", k.rows(), k.cols(), k.rows(), width);
    if (v.cols() != width || v.rows() != k.rows()) {
      throw_shape_error("kv_cache: v", v.rows(), v.cols(), k.rows(), width);
    }
    if (k.rows() > capacity_ - size_) {
      throw argument_error("kv_cache: no room for " + std::to_string(k.rows()) + " tokens after " +
                           std::to_string(size_) + ", capacity " + std::to_string(capacity_));
    }
    const detail::append_arguments arguments{
        keys_.pointers(), values_.pointers(), padded_capacity_, head_dim_, padded_dim_,   size_,
        k.rows(),         k.data(),           k.row_stride(),   v.data(),  v.row_stride()};
    detail::with_best_target<Isa>([&]<class Target>() {
      for (std::size_t h = 0; h < n_kv_heads_; ++h) {
        Target::template attention<key_spec, value_spec>::Append(arguments, h);
      }
    });
    size_ += k.rows();
  }

  /// What the attention kernels read; for `attention`.
  [[nodiscard]] QOMPOSE_INLINE detail::attention_arguments attention_arguments() const noexcept {
    detail::attention_arguments arguments;
    arguments.keys = keys_.pointers();
    arguments.values = values_.pointers();
    arguments.capacity = padded_capacity_;
    arguments.head_dim = head_dim_;
    arguments.padded_dim = padded_dim_;
    return arguments;
  }

 private:
  template <class Spec>
  static constexpr bool has_scales = quant_spec<Spec>;
  template <class Spec>
  static constexpr std::size_t code_bytes =
      static_cast<std::size_t>(detail::spec_parts<Spec>::element::bits) / 8;

  /// Codes and scales of keys or of values.
  struct storage {
    aligned_buffer<std::byte> codes;
    aligned_buffer<float> scales;

    [[nodiscard]] QOMPOSE_INLINE std::size_t bytes() const noexcept {
      return codes.size() + scales.size() * sizeof(float);
    }
    // The kernels' structs serve reading and appending alike, so they hold plain pointers.
    [[nodiscard]] QOMPOSE_INLINE detail::cache_side pointers() const noexcept {
      return {const_cast<std::byte*>(codes.data()), const_cast<float*>(scales.data())};
    }
  };
  QOMPOSE_INLINE storage side(std::size_t tokens, std::size_t bytes, bool scaled) const {
    return {aligned_buffer<std::byte>(tokens * padded_dim_ * bytes),
            aligned_buffer<float>(scaled ? tokens : 0)};
  }

  std::size_t n_kv_heads_ = 0;
  std::size_t head_dim_ = 0;
  std::size_t padded_dim_ = 0;
  std::size_t capacity_ = 0;
  std::size_t padded_capacity_ = 0;
  std::size_t size_ = 0;
  storage keys_;
  storage values_;
};

}  // namespace qompose
