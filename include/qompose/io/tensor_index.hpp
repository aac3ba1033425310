// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Tensors by name.

#include <cstddef>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/file_tensor.hpp"

namespace qompose {

/// The tensors of one or more files, each name once.
class tensor_index {
 public:
  /// @throws qompose::file_error when there is one of that name already
  QOMPOSE_INLINE void add(file_tensor tensor) {
    if (!positions_.emplace(tensor.name, tensors_.size()).second) {
      throw file_error(tensor.name + ": a tensor of this name appears twice");
    }
    tensors_.push_back(std::move(tensor));
  }
  /// All, in the order in which they were added.
  [[nodiscard]] QOMPOSE_INLINE std::span<const file_tensor> all() const noexcept {
    return tensors_;
  }
  /// The tensor of that name; null if there is none. Valid until the next @ref add.
  [[nodiscard]] QOMPOSE_INLINE const file_tensor* find(std::string_view name) const {
    const auto position = positions_.find(name);
    return position == positions_.end() ? nullptr : &tensors_[position->second];
  }

 private:
  std::vector<file_tensor> tensors_;
  std::map<std::string, std::size_t, std::less<>> positions_;
};

}  // namespace qompose
