// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Blocks of memory that the caches of many sequences share.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/error.hpp"

namespace qompose {

/// A pool has fewer free blocks than were asked for. Nothing has changed: free some by dropping or
/// truncating a sequence and try again.
class out_of_blocks : public error {
 public:
  QOMPOSE_INLINE explicit out_of_blocks(const std::string& message) : error(message) {}
};

/// A fixed number of blocks of one size, each with a count of the sequences that hold it.
///
/// One pool may serve the caches of all layers of all sequences of a model. Its calls may come from
/// several threads at once.
///
/// @par Source
/// Kwon et al., PagedAttention, SOSP 2023, arXiv:2309.06180, section 4.2.
class block_pool {
 public:
  /// @param n_blocks     blocks, at least one
  /// @param block_bytes  of one, see `kv_cache::block_bytes`
  /// @throws qompose::argument_error if a number is 0
  /// @throws std::bad_alloc
  QOMPOSE_INLINE block_pool(std::size_t n_blocks, std::size_t block_bytes)
      : block_bytes_(block_bytes) {
    if (n_blocks == 0 || block_bytes == 0) {
      throw argument_error("block_pool: " + std::to_string(n_blocks) + " blocks of " +
                           std::to_string(block_bytes) + " bytes, expected at least one of each");
    }
    memory_ = aligned_buffer<std::byte>(n_blocks * block_bytes);
    holders_ = aligned_buffer<std::uint32_t>(n_blocks);
    free_ = aligned_buffer<std::size_t>(n_blocks);
    for (std::size_t i = 0; i < n_blocks; ++i) free_[i] = n_blocks - 1 - i;
    n_free_ = n_blocks;
  }
  block_pool(const block_pool&) = delete;
  block_pool& operator=(const block_pool&) = delete;

  [[nodiscard]] QOMPOSE_INLINE std::size_t n_blocks() const noexcept { return holders_.size(); }
  [[nodiscard]] QOMPOSE_INLINE std::size_t block_bytes() const noexcept { return block_bytes_; }
  /// Blocks that nobody holds.
  [[nodiscard]] QOMPOSE_INLINE std::size_t free_blocks() const {
    const std::lock_guard lock(mutex_);
    return n_free_;
  }

  /// Takes n blocks, each held once; their bytes are those of an earlier holder or zero.
  /// @throws qompose::out_of_blocks if fewer are free; none is taken then
  QOMPOSE_INLINE void take(std::size_t n, std::byte** blocks) {
    const std::lock_guard lock(mutex_);
    if (n > n_free_) {
      throw out_of_blocks("block_pool: " + std::to_string(n) + " blocks asked for, " +
                          std::to_string(n_free_) + " of " + std::to_string(n_blocks()) +
                          " are free; truncate or drop a sequence");
    }
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t index = free_[--n_free_];
      holders_[index] = 1;
      blocks[i] = memory_.data() + index * block_bytes_;
    }
  }
  /// Holds a block once more.
  QOMPOSE_INLINE void hold(const std::byte* block) noexcept {
    const std::lock_guard lock(mutex_);
    ++holders_[index_of(block)];
  }
  /// Holds a block once less; free when nobody does.
  QOMPOSE_INLINE void drop(const std::byte* block) noexcept {
    const std::lock_guard lock(mutex_);
    const std::size_t index = index_of(block);
    if (--holders_[index] == 0) free_[n_free_++] = index;
  }
  /// How many hold a block.
  [[nodiscard]] QOMPOSE_INLINE std::size_t holders(const std::byte* block) const {
    const std::lock_guard lock(mutex_);
    return holders_[index_of(block)];
  }

 private:
  [[nodiscard]] QOMPOSE_INLINE std::size_t index_of(const std::byte* block) const noexcept {
    return static_cast<std::size_t>(block - memory_.data()) / block_bytes_;
  }

  mutable std::mutex mutex_;
  std::size_t block_bytes_;
  std::size_t n_free_ = 0;
  aligned_buffer<std::byte> memory_;
  aligned_buffer<std::uint32_t> holders_;
  aligned_buffer<std::size_t> free_;  ///< the first n_free_ are indices of free blocks
};

}  // namespace qompose
