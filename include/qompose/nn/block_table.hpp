// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Which blocks hold the tokens of a sequence, for each KV head.

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <utility>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"
#include "qompose/kernels/cache_arguments.hpp"
#include "qompose/nn/block_pool.hpp"

namespace qompose::detail {

/// Consecutive tokens of a sequence in blocks, from memory of its own or from a pool.
///
/// Memory of its own is a ring: blocks whose tokens are dropped follow the newest one. Blocks of a
/// pool are shared by copies of the table until one of them writes.
class block_table {
 public:
  block_table() noexcept = default;

  /// A table with memory for `most` blocks a head.
  QOMPOSE_INLINE block_table(std::size_t n_heads, std::size_t block_tokens, std::size_t block_bytes,
                             std::size_t most)
      : n_heads_(n_heads),
        tokens_(block_tokens),
        bytes_(block_bytes),
        most_(most),
        memory_(n_heads * most * block_bytes),
        blocks_(n_heads * most) {
    for (std::size_t i = 0; i < blocks_.size(); ++i) blocks_[i] = memory_.data() + i * bytes_;
  }
  /// A table whose blocks come from a pool.
  QOMPOSE_INLINE block_table(std::size_t n_heads, std::size_t block_tokens,
                             std::shared_ptr<block_pool> pool)
      : n_heads_(n_heads),
        tokens_(block_tokens),
        bytes_(pool->block_bytes()),
        pool_(std::move(pool)) {}

  QOMPOSE_INLINE block_table(const block_table& other)
      : n_heads_(other.n_heads_),
        tokens_(other.tokens_),
        bytes_(other.bytes_),
        most_(other.most_),
        count_(other.count_),
        first_(other.first_),
        pool_(other.pool_),
        memory_(other.memory_),
        blocks_(other.blocks_) {
    if (pool_ != nullptr) {
      for_each_block([&](const std::byte* block) { pool_->hold(block); });
    } else {
      for (std::size_t i = 0; i < blocks_.size(); ++i) {
        blocks_[i] = memory_.data() + (other.blocks_[i] - other.memory_.data());
      }
    }
  }
  QOMPOSE_INLINE block_table(block_table&& other) noexcept : block_table() { swap(other); }
  QOMPOSE_INLINE block_table& operator=(block_table other) noexcept {
    swap(other);
    return *this;
  }
  QOMPOSE_INLINE ~block_table() {
    if (pool_ != nullptr) for_each_block([&](const std::byte* block) { pool_->drop(block); });
  }

  /// The first token of the first block, and the token after the last block.
  [[nodiscard]] QOMPOSE_INLINE std::size_t first_token() const noexcept { return first_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t end_token() const noexcept {
    return first_ + count_ * tokens_;
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t block_tokens() const noexcept { return tokens_; }
  /// Tokens that memory of its own has room for; without end for a pool.
  [[nodiscard]] QOMPOSE_INLINE std::size_t room() const noexcept {
    return pool_ != nullptr ? ~std::size_t{0} : most_ * tokens_;
  }
  /// Bytes of its own memory, or of the blocks held.
  [[nodiscard]] QOMPOSE_INLINE std::size_t bytes() const noexcept {
    return pool_ != nullptr ? n_heads_ * count_ * bytes_ : memory_.size();
  }
  [[nodiscard]] QOMPOSE_INLINE const std::shared_ptr<block_pool>& pool() const noexcept {
    return pool_;
  }

  /// Starts at another token; for a table without blocks.
  QOMPOSE_INLINE void start_at(std::size_t token) noexcept { first_ = token; }

  /// Makes tokens [begin, end) of all heads writable: adds blocks, and copies those that are
  /// shared.
  /// @throws qompose::out_of_blocks with everything as it was
  QOMPOSE_INLINE void prepare(std::size_t begin, std::size_t end) {
    if (begin >= end) return;
    const std::size_t wanted = divide_up(end - first_, tokens_);
    if (pool_ == nullptr) {
      count_ = std::max(count_, wanted);
      return;
    }
    const std::size_t from = (begin - first_) / tokens_;
    std::size_t shared = 0;
    for (std::size_t h = 0; h < n_heads_; ++h) {
      for (std::size_t i = from; i < std::min(count_, wanted); ++i) {
        shared += pool_->holders(at(h, i)) > 1 ? 1 : 0;
      }
    }
    const std::size_t added = wanted > count_ ? n_heads_ * (wanted - count_) : 0;
    if (shared + added == 0) return;
    grow(wanted);
    aligned_buffer<std::byte*> taken(shared + added);
    pool_->take(shared + added, taken.data());
    std::byte** next = taken.data();
    for (std::size_t h = 0; h < n_heads_; ++h) {
      for (std::size_t i = from; i < wanted; ++i) {
        if (i >= count_) {
          // Of another format, an earlier holder's bytes may be NaN, and kernels read whole panels.
          std::memset(*next, 0, bytes_);
          at(h, i) = *next++;
        } else if (pool_->holders(at(h, i)) > 1) {
          std::memcpy(*next, at(h, i), bytes_);
          pool_->drop(at(h, i));
          at(h, i) = *next++;
        }
      }
    }
    count_ = std::max(count_, wanted);
  }

  /// Gives back the blocks that hold no token from `begin` on.
  QOMPOSE_INLINE void drop_before(std::size_t begin) noexcept {
    if (begin <= first_) return;
    const std::size_t gone = std::min((begin - first_) / tokens_, count_);
    for (std::size_t h = 0; h < n_heads_; ++h) {
      std::byte** row = blocks_.data() + h * most_;
      if (pool_ != nullptr) {
        for (std::size_t i = 0; i < gone; ++i) pool_->drop(row[i]);
      }
      std::rotate(row, row + gone, row + count_);
    }
    // Blocks of its own that follow the newest one are free again.
    count_ -= gone;
    first_ += gone * tokens_;
    if (count_ == 0) first_ = std::max(first_, begin);
  }
  /// Gives back the blocks that hold no token before `end`.
  QOMPOSE_INLINE void truncate(std::size_t end) noexcept {
    const std::size_t kept = end > first_ ? std::min(count_, divide_up(end - first_, tokens_)) : 0;
    if (pool_ != nullptr) {
      for (std::size_t h = 0; h < n_heads_; ++h) {
        for (std::size_t i = kept; i < count_; ++i) pool_->drop(at(h, i));
      }
    }
    count_ = kept;
  }

  /// The block of a token, and the token's place in it.
  [[nodiscard]] QOMPOSE_INLINE std::byte* block(std::size_t head,
                                                std::size_t token) const noexcept {
    return blocks_.data()[head * most_ + (token - first_) / tokens_];
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t place(std::size_t token) const noexcept {
    return (token - first_) % tokens_;
  }
  /// Blocks of a head, and bytes of a block.
  [[nodiscard]] QOMPOSE_INLINE std::size_t count() const noexcept { return count_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t block_bytes() const noexcept { return bytes_; }
  /// Whether something is true of all blocks.
  template <class Is>
  [[nodiscard]] QOMPOSE_INLINE bool all_of(Is&& is) const {
    for (std::size_t h = 0; h < n_heads_; ++h) {
      for (std::size_t i = 0; i < count_; ++i) {
        if (!is(blocks_.data()[h * most_ + i])) return false;
      }
    }
    return true;
  }
  /// For the kernels.
  [[nodiscard]] QOMPOSE_INLINE cache_region region() const noexcept {
    return {blocks_.data(), most_, tokens_, first_};
  }

 private:
  [[nodiscard]] QOMPOSE_INLINE std::byte*& at(std::size_t head, std::size_t i) noexcept {
    return blocks_[head * most_ + i];
  }
  template <class Use>
  QOMPOSE_INLINE void for_each_block(Use&& use) noexcept {
    for (std::size_t h = 0; h < n_heads_; ++h) {
      for (std::size_t i = 0; i < count_; ++i) use(at(h, i));
    }
  }
  /// Room for `wanted` pointers a head.
  QOMPOSE_INLINE void grow(std::size_t wanted) {
    if (wanted <= most_) return;
    const std::size_t most = std::max(wanted, 2 * most_);
    aligned_buffer<std::byte*> blocks(n_heads_ * most);
    for (std::size_t h = 0; h < n_heads_; ++h) {
      for (std::size_t i = 0; i < count_; ++i) blocks[h * most + i] = at(h, i);
    }
    blocks_ = std::move(blocks);
    most_ = most;
  }
  QOMPOSE_INLINE void swap(block_table& other) noexcept {
    std::swap(n_heads_, other.n_heads_);
    std::swap(tokens_, other.tokens_);
    std::swap(bytes_, other.bytes_);
    std::swap(most_, other.most_);
    std::swap(count_, other.count_);
    std::swap(first_, other.first_);
    std::swap(pool_, other.pool_);
    std::swap(memory_, other.memory_);
    std::swap(blocks_, other.blocks_);
  }

  std::size_t n_heads_ = 0;
  std::size_t tokens_ = 1;  ///< of a block
  std::size_t bytes_ = 0;   ///< of a block
  std::size_t most_ = 0;    ///< blocks of a head that there is room for in the table
  std::size_t count_ = 0;   ///< blocks of a head
  std::size_t first_ = 0;   ///< first token of the first block
  std::shared_ptr<block_pool> pool_;
  aligned_buffer<std::byte> memory_;
  aligned_buffer<std::byte*> blocks_;  ///< [n_heads][most_]
};

}  // namespace qompose::detail
