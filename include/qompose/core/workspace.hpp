// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Scratch memory that the caller keeps between calls.

#include <cstddef>

#include "qompose/core/aligned_buffer.hpp"
#include "qompose/core/config.hpp"

namespace qompose {

/// Scratch memory for one call at a time; grows to the largest call and is then reused, so a call
/// no larger than an earlier one allocates nothing. Concurrent calls need one each.
class workspace {
 public:
  QOMPOSE_INLINE workspace() noexcept = default;

  /// Uninitialized memory, 64-byte aligned, valid until the next call.
  /// @throws std::bad_alloc
  [[nodiscard]] QOMPOSE_INLINE std::byte* reserve(std::size_t bytes) {
    if (bytes > buffer_.size()) buffer_ = aligned_buffer<std::byte>(bytes);
    return buffer_.data();
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t bytes() const noexcept { return buffer_.size(); }

 private:
  aligned_buffer<std::byte> buffer_;
};

}  // namespace qompose
