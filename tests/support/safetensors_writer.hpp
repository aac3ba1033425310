// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Writes safetensors files.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/temporary_folder.hpp"

namespace qompose_tests {

/// Header and data put together; the header may be wrong.
inline std::vector<std::byte> safetensors_bytes(std::string_view header,
                                                std::span<const std::byte> data) {
  const std::uint64_t length = header.size();
  std::vector<std::byte> file;
  for (const auto part :
       {std::as_bytes(std::span(&length, 1)), std::as_bytes(std::span(header)), data}) {
    file.insert(file.end(), part.begin(), part.end());
  }
  return file;
}

/// Collects a safetensors file, tensors in the order in which they are added.
class safetensors_writer {
 public:
  /// Adds a tensor of floats.
  /// @param shape   outermost dimension first
  /// @param values  as many as the shape has elements
  void add_tensor(std::string_view name, const std::vector<std::size_t>& shape,
                  std::span<const float> values) {
    add_tensor(name, shape, "F32", std::as_bytes(values));
  }
  /// Adds a tensor of any type.
  void add_tensor(std::string_view name, const std::vector<std::size_t>& shape,
                  std::string_view dtype, std::span<const std::byte> bytes) {
    std::string dimensions;
    for (const std::size_t n : shape)
      dimensions += (dimensions.empty() ? "" : ",") + std::to_string(n);
    header_ += (header_.empty() ? "{\"" : ",\"") + std::string(name) + "\":{\"dtype\":\"" +
               std::string(dtype) + "\",\"shape\":[" + dimensions + "],\"data_offsets\":[" +
               std::to_string(data_.size()) + "," + std::to_string(data_.size() + bytes.size()) +
               "]}";
    data_.insert(data_.end(), bytes.begin(), bytes.end());
  }

  /// The whole file.
  [[nodiscard]] std::vector<std::byte> bytes() const {
    return safetensors_bytes(header_.empty() ? "{}" : header_ + "}", data_);
  }
  void write(const std::filesystem::path& path) const { write_file(path, bytes()); }

 private:
  std::string header_;
  std::vector<std::byte> data_;
};

}  // namespace qompose_tests
