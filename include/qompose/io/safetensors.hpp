// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Reader of safetensors files and of checkpoints that are split into several of them.
///
/// A file is: length of the header (8 bytes), the header (a JSON object with type, shape and
/// offsets of each tensor), the tensors' bytes without holes between them.
///
/// @par Source
/// https://huggingface.co/docs/safetensors, "Format".

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/file_tensor.hpp"
#include "qompose/io/json_text.hpp"
#include "qompose/io/mapped_file.hpp"
#include "qompose/io/tensor_encoding.hpp"
#include "qompose/io/tensor_index.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// A non-negative integer of a safetensors header.
[[nodiscard]] inline std::size_t safetensors_size(const nlohmann::json& value,
                                                  const std::string& name) {
  if (!value.is_number_unsigned()) {
    throw file_error(name + ": sizes and offsets must be integers that are not negative");
  }
  return value.get<std::size_t>();
}

/// The encoding of a safetensors `dtype`.
/// @throws qompose::file_error naming the tensor and the type when it is not read
[[nodiscard]] inline const tensor_encoding& safetensors_encoding(const nlohmann::json& dtype,
                                                                 const std::string& name) {
  if (dtype == "F32") return f32_encoding;
  if (dtype == "F16") return f16_encoding;
  if (dtype == "BF16") return bf16_encoding;
  throw file_error(name + ": elements of type " +
                   (dtype.is_string() ? dtype.get<std::string>() : "?") +
                   " are not read, expected F32, F16 or BF16");
}

/// One tensor of a safetensors header.
/// @throws qompose::file_error unless it agrees with itself and lies in the file
[[nodiscard]] inline file_tensor read_safetensors_entry(
    const std::string& name, const nlohmann::json& entry,
    const std::shared_ptr<const mapped_file>& file, std::size_t data_start) {
  const auto member = [&](const char* key) {
    return entry.is_object() ? find_member(entry, key) : nullptr;
  };
  const nlohmann::json* dtype = member("dtype");
  const nlohmann::json* dimensions = member("shape");
  const nlohmann::json* offsets = member("data_offsets");
  if (dtype == nullptr || dimensions == nullptr || !dimensions->is_array() || offsets == nullptr ||
      !offsets->is_array() || offsets->size() != 2) {
    throw file_error(name + ": expected dtype, shape and two data_offsets");
  }
  std::vector<std::size_t> shape;
  for (const nlohmann::json& dimension : *dimensions) {
    shape.push_back(safetensors_size(dimension, name));
  }
  const std::size_t begin = safetensors_size((*offsets)[0], name);
  const std::size_t end = safetensors_size((*offsets)[1], name);
  if (begin > end || end > file->bytes().size() - data_start) {
    throw file_error(name + ": bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                     " are not inside the file");
  }
  file_tensor tensor = make_file_tensor(name, std::move(shape), safetensors_encoding(*dtype, name),
                                        file, data_start + begin);
  if (tensor.bytes.size() != end - begin) {
    throw file_error(name + ": has " + std::to_string(end - begin) + " bytes, shape " +
                     shape_text(tensor.shape) + " of " + std::string(tensor.encoding->name) +
                     " needs " + std::to_string(tensor.bytes.size()));
  }
  return tensor;
}

/// Adds the tensors of one file to `tensors`.
/// @throws qompose::file_error unless the file is sound and every byte belongs to one tensor
inline void read_safetensors_file(const std::shared_ptr<const mapped_file>& file,
                                  tensor_index& tensors) {
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() < 8) throw file_error("is too short for a safetensors file");
  const auto length = load_unaligned<std::uint64_t>(bytes.data());
  if (length > bytes.size() - 8) {
    throw file_error("is not a safetensors file: a header of " + std::to_string(length) +
                     " bytes does not fit");
  }
  const auto* text = reinterpret_cast<const char*>(bytes.data()) + 8;
  const nlohmann::json header =
      parse_json({text, static_cast<std::size_t>(length)}, "safetensors header");
  if (!header.is_object()) throw file_error("safetensors header: is not a JSON object");

  const std::size_t data_start = 8 + static_cast<std::size_t>(length);
  std::vector<file_tensor> found;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    found.push_back(read_safetensors_entry(name, entry, file, data_start));
  }
  std::sort(found.begin(), found.end(), [](const file_tensor& a, const file_tensor& b) {
    return a.bytes.data() < b.bytes.data();
  });
  std::span<const std::byte> rest = bytes.subspan(data_start);
  for (file_tensor& tensor : found) {
    if (tensor.bytes.data() != rest.data()) {
      throw file_error(tensor.name + ": does not begin where the tensor before it ends");
    }
    rest = rest.subspan(tensor.bytes.size());
    tensors.add(std::move(tensor));
  }
  if (!rest.empty()) {
    throw file_error(std::to_string(rest.size()) + " bytes are left over after the last tensor");
  }
}

/// Maps and reads one file; the message of an error begins with the path.
inline void read_safetensors(const std::filesystem::path& path, tensor_index& tensors) {
  const auto file = std::make_shared<const mapped_file>(path);
  naming_file(path, [&] { read_safetensors_file(file, tensors); });
}

/// Adds the tensors of all files that an index names, and checks that it tells the truth.
/// @throws qompose::file_error
inline void read_safetensors_shards(const std::filesystem::path& index_path,
                                    tensor_index& tensors) {
  const nlohmann::json index = read_json(index_path);
  const nlohmann::json* weight_map = index.is_object() ? find_member(index, "weight_map") : nullptr;
  if (weight_map == nullptr || !weight_map->is_object() || weight_map->empty()) {
    throw file_error(index_path.string() + ": has no weight_map");
  }
  std::map<std::string, std::size_t> names_of_shard;
  for (const auto& [name, shard] : weight_map->items()) {
    if (!shard.is_string()) throw file_error(index_path.string() + ": " + name + ": not a file");
    const std::filesystem::path file = shard.get<std::string>();
    // A checkpoint does not reach out of its folder.
    if (file.empty() || file != file.filename() || file == "." || file == "..") {
      throw file_error(index_path.string() + ": " + name + ": " + file.string() +
                       " is not a plain file name");
    }
    ++names_of_shard[file.string()];
  }
  for (const auto& [shard, n_names] : names_of_shard) {
    const std::filesystem::path path = index_path.parent_path() / shard;
    const std::size_t before = tensors.all().size();
    read_safetensors(path, tensors);
    for (const file_tensor& tensor : tensors.all().subspan(before)) {
      const nlohmann::json* expected = find_member(*weight_map, tensor.name);
      if (expected == nullptr || *expected != shard) {
        throw file_error(path.string() + ": " + tensor.name + ": is not where " +
                         index_path.filename().string() + " says");
      }
    }
    if (tensors.all().size() - before != n_names) {
      throw file_error(path.string() + ": has " + std::to_string(tensors.all().size() - before) +
                       " tensors, " + index_path.filename().string() + " names " +
                       std::to_string(n_names));
    }
  }
}

/// Adds the tensors of a file, or of the checkpoint in a folder.
/// @throws qompose::file_error
inline void read_safetensors_checkpoint(const std::filesystem::path& path, tensor_index& tensors) {
  std::error_code ignored;  // what cannot be looked at fails when it is opened
  if (!std::filesystem::is_directory(path, ignored)) return read_safetensors(path, tensors);
  if (std::filesystem::exists(path / "model.safetensors", ignored)) {
    return read_safetensors(path / "model.safetensors", tensors);
  }
  if (std::filesystem::exists(path / "model.safetensors.index.json", ignored)) {
    return read_safetensors_shards(path / "model.safetensors.index.json", tensors);
  }
  throw file_error(path.string() +
                   ": has neither model.safetensors nor model.safetensors.index.json");
}

}  // namespace QOMPOSE_ISA

/// The tensors of a `.safetensors` file, or of a folder with `model.safetensors` or with
/// `model.safetensors.index.json` and the files it names.
class safetensors_checkpoint {
 public:
  /// @throws qompose::file_error unless every file is there and sound
  QOMPOSE_INLINE explicit safetensors_checkpoint(const std::filesystem::path& path) {
    read_safetensors_checkpoint(path, tensors_);
  }
  /// All tensors, in the order in which they lie in the files.
  [[nodiscard]] QOMPOSE_INLINE std::span<const file_tensor> tensors() const noexcept {
    return tensors_.all();
  }
  /// The tensor of that name; null if there is none.
  [[nodiscard]] QOMPOSE_INLINE const file_tensor* find_tensor(std::string_view name) const {
    return tensors_.find(name);
  }

 private:
  tensor_index tensors_;
};

}  // namespace qompose
