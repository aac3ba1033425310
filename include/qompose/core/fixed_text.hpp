// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Text put together at compile time, for the names of parameterized types.

#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"

namespace qompose::detail {

/// A short text that a constant expression builds: `fixed_text() + "per_group<" + 32 + ">"`.
class fixed_text {
 public:
  fixed_text() = default;

  /// The text; it lives as long as this object, so keep that in a static constant.
  [[nodiscard]] QOMPOSE_INLINE constexpr std::string_view view() const noexcept {
    return {text_, size_};
  }

  QOMPOSE_INLINE friend constexpr fixed_text operator+(fixed_text left, std::string_view right) {
    for (const char c : right) left.text_[left.size_++] = c;
    return left;
  }
  QOMPOSE_INLINE friend constexpr fixed_text operator+(fixed_text left, const char* right) {
    return left + std::string_view(right);
  }
  QOMPOSE_INLINE friend constexpr fixed_text operator+(fixed_text left, std::size_t number) {
    if (number >= 10) left = left + number / 10;
    left.text_[left.size_++] = static_cast<char>('0' + number % 10);
    return left;
  }

 private:
  char text_[128] = {};
  std::size_t size_ = 0;
};

}  // namespace qompose::detail
