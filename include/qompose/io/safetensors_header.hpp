// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What lies where in a safetensors file.
///
/// A file is: length of the header (8 bytes), the header (a JSON object with type, shape and
/// offsets of each tensor), the tensors' bytes without holes between them.
///
/// @par Source
/// https://huggingface.co/docs/safetensors, "Format".

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/json_text.hpp"
#include "qompose/io/tensor_encoding.hpp"

namespace qompose {

/// One tensor as the header describes it; any type, any shape.
struct safetensors_entry {
  std::string name;
  std::string dtype;               ///< as the file spells it; `?` where that is no text
  std::vector<std::size_t> shape;  ///< outermost dimension first
  std::span<const std::byte> bytes;
};

/// The text entries of `__metadata__`.
using safetensors_metadata = std::map<std::string, std::string, std::less<>>;

/// All of a file.
struct safetensors_content {
  safetensors_metadata metadata;
  /// In the order in which they lie in the file.
  std::vector<safetensors_entry> tensors;
};

inline namespace QOMPOSE_ISA {

/// A non-negative integer of a safetensors header.
[[nodiscard]] inline std::size_t safetensors_size(const nlohmann::json& value,
                                                  const std::string& name) {
  if (!value.is_number_unsigned()) {
    throw file_error(name + ": sizes and offsets must be integers that are not negative");
  }
  return value.get<std::size_t>();
}

/// Bytes of one element of a type that the format defines; 0 for any other text.
[[nodiscard]] inline std::size_t safetensors_element_bytes(std::string_view dtype) {
  for (const std::string_view one : {"U8", "I8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"}) {
    if (dtype == one) return 1;
  }
  for (const std::string_view two : {"F16", "BF16", "I16", "U16"}) {
    if (dtype == two) return 2;
  }
  for (const std::string_view four : {"F32", "I32", "U32"}) {
    if (dtype == four) return 4;
  }
  return dtype == "F64" || dtype == "I64" || dtype == "U64" ? 8 : 0;
}

/// One tensor of a safetensors header.
/// @param data  everything behind the header
/// @throws qompose::file_error unless it has all members and lies in the file
[[nodiscard]] inline safetensors_entry read_safetensors_entry(const std::string& name,
                                                              const nlohmann::json& entry,
                                                              std::span<const std::byte> data) {
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
  if (begin > end || end > data.size()) {
    throw file_error(name + ": bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                     " are not inside the file");
  }
  return {name, dtype->is_string() ? dtype->get<std::string>() : "?", std::move(shape),
          data.subspan(begin, end - begin)};
}

/// The entries of `__metadata__` that are texts; the format allows no others.
[[nodiscard]] inline safetensors_metadata read_safetensors_metadata(const nlohmann::json& object) {
  safetensors_metadata metadata;
  if (!object.is_object()) return metadata;
  for (const auto& [key, value] : object.items()) {
    if (value.is_string()) metadata.emplace(key, value.get<std::string>());
  }
  return metadata;
}

/// Reads a whole file.
/// @param bytes  the file; the result refers to it
/// @param check  `check(const safetensors_entry&)` throws unless a tensor's type and shape are as
///               the caller wants them and agree with its size; called before its neighbours are
///               looked at
/// @throws qompose::file_error unless the header is sound and every byte belongs to one tensor
template <class Check>
[[nodiscard]] safetensors_content read_safetensors_content(std::span<const std::byte> bytes,
                                                           const Check& check) {
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

  std::span<const std::byte> rest = bytes.subspan(8 + static_cast<std::size_t>(length));
  safetensors_content content;
  for (const auto& [name, entry] : header.items()) {
    if (name != "__metadata__") {
      content.tensors.push_back(read_safetensors_entry(name, entry, rest));
      check(content.tensors.back());
    } else {
      content.metadata = read_safetensors_metadata(entry);
    }
  }
  const auto place = [](const safetensors_entry& tensor) {
    return std::tuple(tensor.bytes.data(), tensor.bytes.size());
  };
  std::sort(content.tensors.begin(), content.tensors.end(),
            [&](const auto& a, const auto& b) { return place(a) < place(b); });
  for (const safetensors_entry& tensor : content.tensors) {
    if (tensor.bytes.data() != rest.data()) {
      throw file_error(tensor.name + ": does not begin where the tensor before it ends");
    }
    rest = rest.subspan(tensor.bytes.size());
  }
  if (!rest.empty()) {
    throw file_error(std::to_string(rest.size()) + " bytes are left over after the last tensor");
  }
  return content;
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
