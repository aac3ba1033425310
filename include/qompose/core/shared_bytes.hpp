// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Bytes that are filled once and then read, which may be a piece of somebody else's memory.

#include <cstddef>
#include <cstdint>
#include <utility>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"

namespace qompose {

/// What keeps memory such as a mapped file in being: whoever derives from it counts its users.
///
/// It stands in for std::shared_ptr where kernels' data is kept, for the reason that aligned_buffer
/// stands in for std::vector.
struct memory_keeper {
  std::size_t users = 1;
  /// Called when the last user is gone.
  void (*destroy)(memory_keeper*) noexcept = nullptr;
};

/// A fixed number of bytes, 64-byte aligned: zeroed memory of its own, or a read-only piece of
/// memory that a @ref memory_keeper keeps. A copy of the first has its own bytes, one of the second
/// shares them.
class shared_bytes {
 public:
  QOMPOSE_INLINE shared_bytes() noexcept = default;
  /// Zeroed memory of its own.
  /// @throws std::bad_alloc
  QOMPOSE_INLINE explicit shared_bytes(std::size_t size)
      : own_(size), data_(own_.data()), size_(size) {}
  /// Memory of somebody else.
  /// @param keeper  becomes this object's, one of its users
  /// @param data    at a multiple of 64, valid as long as the keeper is not destroyed
  QOMPOSE_INLINE shared_bytes(memory_keeper* keeper, const std::uint8_t* data,
                              std::size_t size) noexcept
      : data_(data), size_(size), keeper_(keeper) {}

  QOMPOSE_INLINE shared_bytes(const shared_bytes& other)
      : own_(other.own_),
        data_(other.keeper_ == nullptr ? own_.data() : other.data_),
        size_(other.size_),
        keeper_(other.keeper_) {
    if (keeper_ != nullptr) __atomic_add_fetch(&keeper_->users, 1, __ATOMIC_RELAXED);
  }
  QOMPOSE_INLINE shared_bytes(shared_bytes&& other) noexcept
      : own_(std::move(other.own_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        keeper_(std::exchange(other.keeper_, nullptr)) {}
  QOMPOSE_INLINE shared_bytes& operator=(shared_bytes other) noexcept {
    own_ = std::move(other.own_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(keeper_, other.keeper_);
    return *this;
  }
  QOMPOSE_INLINE ~shared_bytes() {
    if (keeper_ == nullptr) return;
    if (__atomic_sub_fetch(&keeper_->users, 1, __ATOMIC_ACQ_REL) == 0) keeper_->destroy(keeper_);
  }

  [[nodiscard]] QOMPOSE_INLINE const std::uint8_t* data() const noexcept { return data_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t size() const noexcept { return size_; }
  /// The bytes to be filled; null where they are somebody else's.
  [[nodiscard]] QOMPOSE_INLINE std::uint8_t* writable() noexcept { return own_.data(); }

 private:
  aligned_buffer<std::uint8_t> own_;
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
  memory_keeper* keeper_ = nullptr;
};

}  // namespace qompose
