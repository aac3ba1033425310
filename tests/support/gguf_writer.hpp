// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Writes GGUF files: metadata and tensors, in the order in which they are added.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/temporary_folder.hpp"

namespace qompose_tests {

/// Collects a GGUF file. It checks nothing, so that tests can write files that are wrong.
class gguf_writer {
 public:
  /// @param version    2 or 3; both look the same
  /// @param alignment  of the tensors; anything but 32 also needs the key `general.alignment`
  explicit gguf_writer(std::uint32_t version = 3, std::size_t alignment = 32)
      : version_(version), alignment_(alignment) {}

  /// Adds a number or a bool; its C++ type decides the type in the file.
  template <class T>
    requires std::is_arithmetic_v<T>
  void set(std::string_view key, T value) {
    begin_entry(key, type_number<T>());
    put(metadata_, value);
  }
  void set(std::string_view key, std::string_view value) {
    begin_entry(key, string_type);
    put(metadata_, value);
  }
  void set(std::string_view key, const char* value) { set(key, std::string_view(value)); }
  /// Adds an array of numbers or of strings.
  template <class T>
  void set(std::string_view key, const std::vector<T>& values) {
    begin_entry(key, array_type);
    if constexpr (std::is_arithmetic_v<T>) {
      put(metadata_, type_number<T>());
    } else {
      put(metadata_, string_type);
    }
    put(metadata_, static_cast<std::uint64_t>(values.size()));
    for (const T& value : values) put(metadata_, value);
  }

  /// Adds a tensor of floats.
  /// @param shape   outermost dimension first
  /// @param values  as many as the shape has elements
  void add_tensor(std::string_view name, const std::vector<std::size_t>& shape,
                  std::span<const float> values) {
    add_tensor(name, shape, 0, std::as_bytes(values));
  }
  /// Adds a tensor in any encoding.
  /// @param type   ggml's number of the type
  /// @param bytes  the encoded blocks
  void add_tensor(std::string_view name, const std::vector<std::size_t>& shape, std::uint32_t type,
                  std::span<const std::byte> bytes) {
    add_place(name, shape, type, data_.size());
    data_.insert(data_.end(), bytes.begin(), bytes.end());
    pad(data_);
  }
  /// Adds a tensor's description without its bytes, for files that are wrong.
  void add_place(std::string_view name, const std::vector<std::size_t>& shape, std::uint32_t type,
                 std::uint64_t offset) {
    put(places_, name);
    put(places_, static_cast<std::uint32_t>(shape.size()));
    for (auto it = shape.rbegin(); it != shape.rend(); ++it) {
      put(places_, static_cast<std::uint64_t>(*it));
    }
    put(places_, type);
    put(places_, offset);
    ++n_tensors_;
  }

  /// The whole file.
  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> file;
    for (const char c : {'G', 'G', 'U', 'F'}) file.push_back(static_cast<std::byte>(c));
    put(file, version_);
    put(file, n_tensors_);
    put(file, n_entries_);
    file.insert(file.end(), metadata_.begin(), metadata_.end());
    file.insert(file.end(), places_.begin(), places_.end());
    pad(file);
    file.insert(file.end(), data_.begin(), data_.end());
    return file;
  }
  void write(const std::filesystem::path& path) const { write_file(path, bytes()); }

 private:
  using buffer = std::vector<std::byte>;
  static constexpr std::uint32_t string_type = 8;
  static constexpr std::uint32_t array_type = 9;

  template <class T>
  static constexpr std::uint32_t type_number() {
    if constexpr (std::is_same_v<T, bool>)
      return 7;
    else if constexpr (std::is_same_v<T, float>)
      return 6;
    else if constexpr (std::is_same_v<T, double>)
      return 12;
    else if constexpr (sizeof(T) == 8)
      return std::is_signed_v<T> ? 11 : 10;
    else if constexpr (sizeof(T) == 4)
      return std::is_signed_v<T> ? 5 : 4;
    else if constexpr (sizeof(T) == 2)
      return std::is_signed_v<T> ? 3 : 2;
    else
      return std::is_signed_v<T> ? 1 : 0;
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  static void put(buffer& to, T value) {
    const auto bytes = std::as_bytes(std::span(&value, 1));
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  static void put(buffer& to, std::string_view text) {
    put(to, static_cast<std::uint64_t>(text.size()));
    const auto bytes = std::as_bytes(std::span(text));
    to.insert(to.end(), bytes.begin(), bytes.end());
  }
  void pad(buffer& to) const {
    while (to.size() % alignment_ != 0) to.push_back(std::byte{0});
  }
  void begin_entry(std::string_view key, std::uint32_t type) {
    put(metadata_, key);
    put(metadata_, type);
    ++n_entries_;
  }

  std::uint32_t version_;
  std::size_t alignment_;
  std::uint64_t n_tensors_ = 0;
  std::uint64_t n_entries_ = 0;
  buffer metadata_;
  buffer places_;
  buffer data_;
};

}  // namespace qompose_tests
