// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A safetensors file taken apart, to be changed and written again.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "support/safetensors_writer.hpp"
#include "support/temporary_folder.hpp"

namespace qompose_tests {

/// Header and parts of a sound file. Offsets are made anew when it is written; everything else in
/// the header stays as it is, so that it may become wrong.
class edited_safetensors {
 public:
  explicit edited_safetensors(const std::filesystem::path& path) {
    const std::vector<std::byte> file = read_file(path);
    std::uint64_t length = 0;
    std::memcpy(&length, file.data(), sizeof(length));
    data_start_ = 8 + static_cast<std::size_t>(length);
    const auto* text = reinterpret_cast<const char*>(file.data()) + 8;
    header = nlohmann::json::parse(text, text + length);
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      const auto begin = entry["data_offsets"][0].get<std::ptrdiff_t>();
      const auto end = entry["data_offsets"][1].get<std::ptrdiff_t>();
      const auto data = file.begin() + static_cast<std::ptrdiff_t>(data_start_);
      parts_[name] = {data + begin, data + end};
    }
  }

  [[nodiscard]] const std::vector<std::byte>& part(const std::string& name) const {
    return parts_.at(name);
  }
  [[nodiscard]] std::size_t data_start() const { return data_start_; }

  /// Overwrites bytes of a part.
  template <class T>
  void put(const std::string& name, std::size_t at, T value) {
    std::memcpy(&parts_.at(name).at(at), &value, sizeof(value));
  }
  void resize(const std::string& name, std::size_t bytes) { parts_.at(name).resize(bytes); }
  void erase(const std::string& name) {
    header.erase(name);
    parts_.erase(name);
  }
  void add(const std::string& name, const std::string& dtype, const std::vector<int>& shape,
           std::size_t bytes) {
    header[name] = {{"dtype", dtype}, {"shape", shape}};
    parts_[name].resize(bytes);
  }

  void write(const std::filesystem::path& path) {
    std::vector<std::byte> data;
    for (const auto& [name, bytes] : parts_) {
      header[name]["data_offsets"] = {data.size(), data.size() + bytes.size()};
      data.insert(data.end(), bytes.begin(), bytes.end());
    }
    write_file(path, safetensors_bytes(header.dump(), data));
  }

  nlohmann::json header;

 private:
  std::size_t data_start_ = 0;
  std::map<std::string, std::vector<std::byte>> parts_;
};

}  // namespace qompose_tests
