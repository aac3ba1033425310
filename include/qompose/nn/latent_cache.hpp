// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The latents of one sequence in one layer, which keys and values of all heads share.

#include <algorithm>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "qompose/cache/cache_parts.hpp"
#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/kernels/latent_arguments.hpp"
#include "qompose/nn/block_pool.hpp"
#include "qompose/nn/block_table.hpp"
#include "qompose/nn/cache_store.hpp"
#include "qompose/packing/cache_block.hpp"

namespace qompose {

/// @cond
namespace detail {
template <class Layout>
inline constexpr bool is_layout = false;
template <class Policy>
inline constexpr bool is_layout<layout<Policy>> = true;
}  // namespace detail
/// @endcond

/// One row C_t of `rank` numbers for each token seen so far, of which `latent_attention` makes the
/// keys C_t U_k and the values C_t U_v of all heads.
///
/// @tparam Spec    how rows are stored: fp32, fp16, bf16, or a quant of at most 8 bits,
///                 `per_token` or `per_group<N>` along the row
/// @tparam Layout  `layout<contiguous>` or `layout<paged<N>>`
/// @par Copies   As those of a `kv_cache`: sequences of their own, which share pages until one of
///               them writes.
/// @par Storage  Blocks of tokens, each like the keys of one head of `rank` elements, see
///               packing/cache_block.hpp.
/// @par Source   The joint factors of QSVD, NeurIPS 2025
template <class Spec, class Layout = layout<contiguous>>
class latent_cache {
  static_assert(tensor_spec<Spec>,
                "qompose: latent_cache: the first argument is neither a number format nor a "
                "quant<...>; write latent_cache<fp16> or latent_cache<quant<int8, per_token>>");
  static_assert(detail::is_cache_spec<Spec> && !detail::has_granularity<Spec, per_channel>,
                "qompose: latent_cache: latents are fp32, fp16, bf16, or codes of at most 8 bits "
                "per token or per group; write latent_cache<quant<int8, per_group<32>>>");
  static_assert(detail::cache_group<Spec> % detail::cache_step<Spec> == 0 ||
                    detail::has_granularity<Spec, per_token>,
                "qompose: latent_cache: groups are no multiple of 16 elements (32 for codes of an "
                "odd number of bits); write per_group<32>");
  static_assert(detail::is_layout<Layout>,
                "qompose: latent_cache: the second argument is no layout; write "
                "layout<contiguous> or layout<paged<64>>");

 public:
  using spec = Spec;
  using layout_type = typename Layout::policy;
  /// For the kernels.
  using codes = detail::cache_codes<Spec>;

  static constexpr bool is_paged = !std::is_same_v<layout_type, contiguous>;
  /// Tokens of a block.
  static constexpr std::size_t block_tokens = layout_type::block_tokens;

  QOMPOSE_INLINE latent_cache() noexcept = default;

  /// An empty cache with memory of its own.
  /// @param rank      numbers a token, 1 .. max_latent_rank
  /// @param capacity  tokens it can hold
  /// @param entries   of the codebook that all rows share, where the spec has one
  /// @throws qompose::argument_error if a number is out of its range
  QOMPOSE_INLINE latent_cache(std::size_t rank, std::size_t capacity,
                              std::span<const float> entries = {})
    requires(!is_paged)
      : latent_cache(rank, entries, capacity) {
    table_ =
        detail::block_table(1, block_tokens, block_bytes(rank), divide_up(capacity, block_tokens));
  }

  /// An empty cache whose blocks come from a pool that it shares with others.
  /// @param pool     of blocks of `block_bytes(rank)`
  /// @param rank     numbers a token, 1 .. max_latent_rank
  /// @param entries  of the codebook that all rows share, where the spec has one
  /// @throws qompose::argument_error if a number is out of its range or the pool's blocks have
  ///         another size
  QOMPOSE_INLINE latent_cache(std::shared_ptr<block_pool> pool, std::size_t rank,
                              std::span<const float> entries = {})
    requires is_paged
      : latent_cache(rank, entries, ~std::size_t{0}) {
    if (pool == nullptr || pool->block_bytes() != block_bytes(rank)) {
      throw argument_error("latent_cache: " +
                           (pool == nullptr ? std::string("no pool of blocks")
                                            : "a pool of blocks of " +
                                                  std::to_string(pool->block_bytes()) + " bytes") +
                           ", expected blocks of " + std::to_string(block_bytes(rank)));
    }
    table_ = detail::block_table(1, block_tokens, std::move(pool));
  }

  /// Numbers a token.
  [[nodiscard]] QOMPOSE_INLINE std::size_t rank() const noexcept { return rank_; }
  /// Tokens held: the position of the next one.
  [[nodiscard]] QOMPOSE_INLINE std::size_t length() const noexcept { return length_; }
  /// Tokens it can hold; as many as the pool gives for a paged one.
  [[nodiscard]] QOMPOSE_INLINE std::size_t capacity() const noexcept { return capacity_; }

  /// Bytes of a block.
  [[nodiscard]] QOMPOSE_INLINE static constexpr std::size_t block_bytes(std::size_t rank) noexcept {
    return detail::key_block<codes>({rank, block_tokens}).bytes();
  }
  /// Bytes of the whole capacity, or of the blocks held of a pool.
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept { return table_.bytes(); }
  /// Bytes that one more token takes, on average over a block.
  [[nodiscard]] QOMPOSE_INLINE static constexpr double bytes_per_token(std::size_t rank) noexcept {
    return static_cast<double>(block_bytes(rank)) / static_cast<double>(block_tokens);
  }

  /// Forgets all tokens from position `length` on.
  /// @throws qompose::argument_error if fewer are held; the cache is unchanged then
  QOMPOSE_INLINE void truncate(std::size_t length) {
    if (length > length_) {
      throw argument_error("latent_cache: cannot truncate to " + std::to_string(length) +
                           " tokens, it holds " + std::to_string(length_));
    }
    length_ = length;
    table_.truncate(length);
  }

  /// Appends tokens.
  /// @param c  [n_tokens, rank], finite
  /// @throws qompose::shape_error if the shape disagrees
  /// @throws qompose::value_error if a number is not finite, or past what the spec can hold
  /// @throws qompose::argument_error if they do not fit
  /// @throws qompose::out_of_blocks if the pool has too few blocks; the cache is unchanged in all
  ///         cases
  template <class Isa = isa_tag>
  void append(matrix_view<const float> c) {
    if (c.cols() != rank_)
      throw_shape_error("latent_cache: c", c.rows(), c.cols(), c.rows(), rank_);
    if (c.rows() > capacity_ - length_) {
      throw argument_error("latent_cache: no room for " + std::to_string(c.rows()) +
                           " tokens after " + std::to_string(length_) + ", capacity " +
                           std::to_string(capacity_));
    }
    require_finite<Isa>(c);
    table_.prepare(length_, length_ + c.rows());
    detail::key_store<codes, max_latent_rank> store({rank_, block_tokens}, entries_.data());
    for (std::size_t i = 0; i < c.rows(); ++i) {
      store.store(table_.block(0, length_ + i), table_.place(length_ + i), c.row(i));
    }
    length_ += c.rows();
  }

  /// What the kernels read; for `latent_attention`.
  [[nodiscard]] QOMPOSE_INLINE detail::cache_region region() const noexcept {
    return table_.region();
  }
  [[nodiscard]] QOMPOSE_INLINE const float* entries() const noexcept { return entries_.data(); }

 private:
  /// What all constructors do.
  QOMPOSE_INLINE latent_cache(std::size_t rank, std::span<const float> entries,
                              std::size_t capacity)
      : rank_(rank), capacity_(capacity) {
    if (rank == 0 || rank > max_latent_rank) {
      throw argument_error("latent_cache: a rank of " + std::to_string(rank) + ", expected 1.." +
                           std::to_string(max_latent_rank));
    }
    std::size_t wanted = 0;
    if constexpr (codes::is_learned) wanted = static_cast<std::size_t>(codes::element::entries);
    if (entries.size() != wanted) {
      throw argument_error("latent_cache: " + std::to_string(entries.size()) +
                           " codebook entries, expected " + std::to_string(wanted));
    }
    if (wanted == 0) return;
    // Kernels look up as many as the bits can spell.
    entries_ = aligned_buffer<float>(std::max<std::size_t>(codes::codebook_floats, 16));
    std::copy(entries.begin(), entries.end(), entries_.data());
  }

  template <class Isa>
  static void require_finite(matrix_view<const float> c) {
    constexpr float most = detail::exact_format<Spec>::max_finite;
    const auto find_range =
        detail::with_best_target<Isa>([]<class Target>() { return &Target::range_of::Groups; });
    for (std::size_t t = 0; t < c.rows(); ++t) {
      value_range range;
      find_range(c.row(t), c.cols(), c.cols(), true, &range);
      if (range.highest <= most) continue;
      throw value_error("latent_cache: row " + std::to_string(t) +
                        " holds a number that is not finite, or past " + std::to_string(most));
    }
  }

  std::size_t rank_ = 0;
  std::size_t capacity_ = 0;
  std::size_t length_ = 0;
  detail::block_table table_;
  aligned_buffer<float> entries_;
};

}  // namespace qompose
