// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A safetensors file whose metadata says what composition it holds.

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/mapped_file.hpp"
#include "qompose/io/matrix_parts.hpp"
#include "qompose/io/safetensors_header.hpp"
#include "qompose/io/safetensors_writer.hpp"

namespace qompose::detail {

/// Largest number of rows or columns that is read, so that sums of sizes do not overflow.
inline constexpr std::size_t most_extent = std::size_t{1} << 40;

/// A mapped file of one of this library's formats, its metadata checked on demand.
class composition_file {
 public:
  /// @throws qompose::file_error unless the file is sound safetensors
  QOMPOSE_INLINE explicit composition_file(const std::filesystem::path& path)
      : file_(std::make_shared<const mapped_file>(path)) {}

  /// Reads the header. Apart from the constructor, as its messages do not name the path.
  /// @throws qompose::file_error unless the file is sound safetensors
  QOMPOSE_INLINE void read_header() {
    content_ = read_safetensors_content(file_->bytes(), [](const safetensors_entry&) {});
  }

  /// @throws qompose::file_error unless the metadata has that entry, saying both texts
  QOMPOSE_INLINE void require(std::string_view key, std::string_view wanted) const {
    const std::string& got = metadata(key);
    if (got != wanted) {
      throw file_error(std::string(key) + ": the file has " + got + ", expected " +
                       std::string(wanted));
    }
  }
  /// A number of rows or columns.
  /// @throws qompose::file_error unless it is a decimal number of at most 2^40
  [[nodiscard]] QOMPOSE_INLINE std::size_t extent(std::string_view key) const {
    const std::string& text = metadata(key);
    std::size_t value = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (wrong != std::errc() || end != text.data() + text.size() || value > most_extent) {
      throw file_error(std::string(key) + ": the file has " + text +
                       ", expected a number of at most " + std::to_string(most_extent));
    }
    return value;
  }

  /// The bytes of all parts, in the order of `parts`; empty for an optional part that is absent.
  /// @throws qompose::file_error unless the file has these tensors, of this type and shape, and no
  ///         others
  [[nodiscard]] QOMPOSE_INLINE std::vector<std::span<const std::byte>> match(
      std::span<const stored_part> parts) const {
    std::vector<std::span<const std::byte>> found;
    for (const stored_part& part : parts) found.push_back(find(part));
    for (const safetensors_entry& tensor : content_.tensors) {
      if (std::none_of(parts.begin(), parts.end(),
                       [&](const stored_part& part) { return part.name == tensor.name; })) {
        throw file_error(tensor.name + ": is no part of this composition");
      }
    }
    return found;
  }
  [[nodiscard]] QOMPOSE_INLINE bool has(std::string_view name) const noexcept {
    return std::any_of(content_.tensors.begin(), content_.tensors.end(),
                       [&](const safetensors_entry& tensor) { return tensor.name == name; });
  }
  /// The bytes of a tensor that is there, whatever its type.
  [[nodiscard]] QOMPOSE_INLINE std::span<const std::byte> bytes_of(
      std::string_view name) const noexcept {
    return std::find_if(content_.tensors.begin(), content_.tensors.end(),
                        [&](const safetensors_entry& tensor) { return tensor.name == name; })
        ->bytes;
  }
  [[nodiscard]] QOMPOSE_INLINE const std::shared_ptr<const mapped_file>& file() const noexcept {
    return file_;
  }

 private:
  [[nodiscard]] QOMPOSE_INLINE const std::string& metadata(std::string_view key) const {
    const auto found = content_.metadata.find(key);
    if (found == content_.metadata.end()) {
      throw file_error("the metadata has no " + std::string(key) +
                       "; expected a file that qompose::save has written");
    }
    return found->second;
  }
  [[nodiscard]] QOMPOSE_INLINE std::span<const std::byte> find(const stored_part& part) const {
    for (const safetensors_entry& tensor : content_.tensors) {
      if (tensor.name != part.name) continue;
      if (tensor.dtype != part.dtype || tensor.shape != part.shape) {
        throw file_error(part.name + ": " + tensor.dtype + " " + shape_text(tensor.shape) +
                         ", expected " + std::string(part.dtype) + " " + shape_text(part.shape));
      }
      if (tensor.bytes.size() != part.bytes) {
        throw file_error(part.name + ": has " + std::to_string(tensor.bytes.size()) +
                         " bytes, expected " + std::to_string(part.bytes));
      }
      return tensor.bytes;
    }
    if (!part.is_optional) throw file_error(part.name + ": this part is missing");
    return {};
  }

  std::shared_ptr<const mapped_file> file_;
  safetensors_content content_;
};

inline namespace QOMPOSE_ISA {

/// Declares parts as the tensors of a file.
inline void declare_parts(safetensors_writer& writer, std::span<const stored_part> parts) {
  for (const stored_part& part : parts) writer.declare(part.name, part.dtype, part.shape);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose::detail
