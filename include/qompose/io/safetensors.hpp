// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Reader of safetensors files and of checkpoints that are split into several of them.
///
/// @par Source
/// https://huggingface.co/docs/safetensors, "Format".

#include <cstddef>
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
#include "qompose/io/checked_size.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/file_tensor.hpp"
#include "qompose/io/json_text.hpp"
#include "qompose/io/mapped_file.hpp"
#include "qompose/io/safetensors_header.hpp"
#include "qompose/io/tensor_encoding.hpp"
#include "qompose/io/tensor_index.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// The encoding of a safetensors `dtype`.
/// @throws qompose::file_error naming the tensor and the type when it is not read
[[nodiscard]] inline const tensor_encoding& safetensors_encoding(const std::string& dtype,
                                                                 const std::string& name) {
  if (dtype == "F32") return f32_encoding;
  if (dtype == "F16") return f16_encoding;
  if (dtype == "BF16") return bf16_encoding;
  throw file_error(name + ": elements of type " + dtype +
                   " are not read, expected F32, F16 or BF16");
}

/// Adds the tensors of one file to `tensors`.
/// @throws qompose::file_error unless the file is sound and every byte belongs to one tensor
inline void read_safetensors_file(const std::shared_ptr<const mapped_file>& file,
                                  tensor_index& tensors) {
  const auto check = [](const safetensors_entry& entry) {
    const tensor_encoding& encoding = safetensors_encoding(entry.dtype, entry.name);
    const std::size_t needed = stored_bytes(entry.name, entry.shape, encoding);
    if (entry.bytes.size() != needed) {
      throw file_error(entry.name + ": has " + std::to_string(entry.bytes.size()) +
                       " bytes, shape " + shape_text(entry.shape) + " of " +
                       std::string(encoding.name) + " needs " + std::to_string(needed));
    }
  };
  for (safetensors_entry& entry : read_safetensors_content(file->bytes(), check).tensors) {
    const tensor_encoding& encoding = safetensors_encoding(entry.dtype, entry.name);
    tensors.add({std::move(entry.name), std::move(entry.shape), &encoding, entry.bytes, file});
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
