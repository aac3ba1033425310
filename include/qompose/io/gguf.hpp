// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Reader of GGUF files, versions 2 and 3.
///
/// A file is: magic, version, number of tensors, number of metadata entries; the metadata; name,
/// shape, type and offset of each tensor; padding to the alignment; the tensors' bytes. A file
/// may be hostile: nothing is allocated by a number in it that the bytes behind it do not cover.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/error_context.hpp"
#include "qompose/io/file_tensor.hpp"
#include "qompose/io/ggml_encodings.hpp"
#include "qompose/io/gguf_value.hpp"
#include "qompose/io/mapped_file.hpp"
#include "qompose/io/tensor_index.hpp"

namespace qompose {

/// Metadata by key.
using gguf_metadata = std::map<std::string, gguf_value, std::less<>>;

/// A metadata entry as it lies in the file.
struct gguf_entry {
  std::string_view key;
  /// The number of its type, then its value.
  std::span<const std::byte> stored;
};

inline namespace QOMPOSE_ISA {

/// Reads a GGUF file from front to back; what @ref gguf_file is made of.
class gguf_parser {
 public:
  explicit gguf_parser(std::shared_ptr<const mapped_file> file)
      : file_(std::move(file)), rest_(file_->bytes()) {}

  /// Fills all parts; the entries point into the file.
  /// @throws qompose::file_error on anything that is not a sound GGUF file
  void parse(gguf_metadata& metadata, std::vector<gguf_entry>& entries, tensor_index& tensors) {
    if (rest_.size() < 4 || std::string_view(text(4)) != "GGUF") {
      throw file_error("is not a GGUF file: it does not begin with GGUF");
    }
    const auto version = read<std::uint32_t>("version");
    if (version != 2 && version != 3) {
      throw file_error("GGUF version " + std::to_string(version) + ", expected 2 or 3");
    }
    const auto n_tensors = read<std::uint64_t>("number of tensors");
    const auto n_entries = read<std::uint64_t>("number of metadata entries");
    for (std::uint64_t i = 0; i < n_entries; ++i) entries.push_back(read_entry(metadata));

    // The offsets of tensors count from the end of this list, so first the list, then the rest.
    std::vector<tensor_place> places;
    for (std::uint64_t i = 0; i < n_tensors; ++i) places.push_back(read_place());
    add_tensors(places, alignment(metadata), tensors);
  }

 private:
  struct tensor_place {
    std::string name;
    std::vector<std::size_t> shape;
    const tensor_encoding* encoding;
    std::uint64_t offset;
  };

  /// Position in the file.
  [[nodiscard]] std::size_t position() const { return file_->bytes().size() - rest_.size(); }

  void need(std::uint64_t size, std::string_view what) const {
    if (size > rest_.size()) {
      throw file_error(std::string(what) + ": " + std::to_string(size) + " bytes at offset " +
                       std::to_string(position()) + ", but only " + std::to_string(rest_.size()) +
                       " are left");
    }
  }
  template <class T>
  T read(std::string_view what) {
    need(sizeof(T), what);
    const T value = load_unaligned<T>(rest_.data());
    rest_ = rest_.subspan(sizeof(T));
    return value;
  }
  std::string text(std::size_t size) {
    std::string result(reinterpret_cast<const char*>(rest_.data()), size);
    rest_ = rest_.subspan(size);
    return result;
  }
  std::string read_string(std::string_view what) {
    const auto size = read<std::uint64_t>(what);
    need(size, what);
    return text(static_cast<std::size_t>(size));
  }
  bool read_bool(std::string_view what) {
    const auto value = read<std::uint8_t>(what);
    if (value > 1) throw file_error(std::string(what) + ": is neither true nor false");
    return value == 1;
  }

  /// Calls `f` with a value-initialized object of the C++ type behind a metadata type number.
  template <class F>
  static void with_type(std::uint32_t type, const std::string& key, F&& f) {
    switch (type) {
      case 0:
        return f(std::uint8_t{});
      case 1:
        return f(std::int8_t{});
      case 2:
        return f(std::uint16_t{});
      case 3:
        return f(std::int16_t{});
      case 4:
        return f(std::uint32_t{});
      case 5:
        return f(std::int32_t{});
      case 6:
        return f(float{});
      case 7:
        return f(bool{});
      case 8:
        return f(std::string{});
      case 9:
        throw file_error(key + ": arrays of arrays are not read");
      case 10:
        return f(std::uint64_t{});
      case 11:
        return f(std::int64_t{});
      case 12:
        return f(double{});
      default:
        throw file_error(key + ": unknown metadata type " + std::to_string(type));
    }
  }
  /// The type that values of type T are kept as.
  template <class T>
  using widened = std::conditional_t<
      std::is_same_v<T, bool> || std::is_same_v<T, std::string>, T,
      std::conditional_t<std::is_floating_point_v<T>, double,
                         std::conditional_t<std::is_signed_v<T>, std::int64_t, std::uint64_t>>>;

  template <class T>
  widened<T> read_as(const std::string& key) {
    if constexpr (std::is_same_v<T, std::string>) {
      return read_string(key);
    } else if constexpr (std::is_same_v<T, bool>) {
      return read_bool(key);
    } else {
      return static_cast<widened<T>>(read<T>(key));
    }
  }
  template <class T>
  auto read_array(const std::string& key) {
    const auto count = read<std::uint64_t>(key);
    // The least that an element takes; a string has at least its length.
    constexpr std::size_t least = std::is_same_v<T, std::string> ? 8 : sizeof(T);
    if (count > rest_.size() / least) {
      throw file_error(key + ": an array of " + std::to_string(count) +
                       " elements does not fit the file");
    }
    std::vector<std::conditional_t<std::is_same_v<T, bool>, std::uint64_t, widened<T>>> array;
    array.reserve(static_cast<std::size_t>(count));
    for (std::uint64_t i = 0; i < count; ++i) array.push_back(read_as<T>(key));
    return array;
  }

  gguf_entry read_entry(gguf_metadata& metadata) {
    std::string key = read_string("metadata key");
    const std::span<const std::byte> before = rest_;
    gguf_value entry{key, {}};
    const auto type = read<std::uint32_t>(key);
    if (type == 9) {
      const auto element_type = read<std::uint32_t>(key);
      with_type(element_type, key,
                [&](auto sample) { entry.value = read_array<decltype(sample)>(key); });
    } else {
      with_type(type, key, [&](auto sample) {
        using T = widened<decltype(sample)>;
        entry.value.template emplace<T>(read_as<decltype(sample)>(key));
      });
    }
    if (!metadata.emplace(key, std::move(entry)).second) {
      throw file_error("metadata key " + key + " appears twice");
    }
    return {{reinterpret_cast<const char*>(before.data()) - key.size(), key.size()},
            before.first(before.size() - rest_.size())};
  }

  tensor_place read_place() {
    tensor_place place;
    place.name = read_string("tensor name");
    const auto n_dimensions = read<std::uint32_t>(place.name);
    if (n_dimensions < 1 || n_dimensions > 4) {
      throw file_error(place.name + ": " + std::to_string(n_dimensions) +
                       " dimensions, expected 1 to 4");
    }
    for (std::uint32_t i = 0; i < n_dimensions; ++i) {
      place.shape.push_back(static_cast<std::size_t>(read<std::uint64_t>(place.name)));
    }
    // The file has the innermost dimension first.
    std::reverse(place.shape.begin(), place.shape.end());
    const auto type = read<std::uint32_t>(place.name);
    place.encoding = find_ggml_encoding(type);
    if (place.encoding == nullptr) {
      throw file_error(place.name + ": elements of type " + ggml_type_text(type) + " are not read");
    }
    place.offset = read<std::uint64_t>(place.name);
    return place;
  }

  static std::size_t alignment(const gguf_metadata& metadata) {
    const auto entry = metadata.find("general.alignment");
    if (entry == metadata.end()) return 32;
    const std::uint64_t value = entry->second.as_uint();
    if (!std::has_single_bit(value) || value > (1u << 30)) {
      throw file_error("general.alignment: " + std::to_string(value) +
                       ", expected a power of two of at most 2^30");
    }
    return static_cast<std::size_t>(value);
  }

  void add_tensors(std::vector<tensor_place>& places, std::size_t alignment,
                   tensor_index& tensors) const {
    const auto align = [&](std::size_t offset) {
      return checked_sum(offset, alignment - 1, "tensor data") / alignment * alignment;
    };
    std::sort(places.begin(), places.end(),
              [](const auto& a, const auto& b) { return a.offset < b.offset; });
    const std::size_t start = align(position());
    std::size_t end = start;
    for (tensor_place& place : places) {
      const std::size_t offset = checked_sum(start, place.offset, place.name);
      if (offset % alignment != 0) {
        throw file_error(place.name + ": offset " + std::to_string(place.offset) +
                         " is not a multiple of the alignment " + std::to_string(alignment));
      }
      if (offset < end) throw file_error(place.name + ": overlaps another tensor");
      tensors.add(make_file_tensor(std::move(place.name), std::move(place.shape), *place.encoding,
                                   file_, offset));
      end = offset + tensors.all().back().bytes.size();
    }
    if (file_->bytes().size() > align(end)) {
      throw file_error(std::to_string(file_->bytes().size() - end) +
                       " bytes are left over after the last tensor");
    }
  }

  std::shared_ptr<const mapped_file> file_;
  std::span<const std::byte> rest_;
};

/// Maps and parses; the message of an error begins with the path.
inline std::shared_ptr<const mapped_file> open_gguf(const std::filesystem::path& path,
                                                    gguf_metadata& metadata,
                                                    std::vector<gguf_entry>& entries,
                                                    tensor_index& tensors) {
  auto file = std::make_shared<const mapped_file>(path);
  naming_file(path, [&] { gguf_parser(file).parse(metadata, entries, tensors); });
  return file;
}

}  // namespace QOMPOSE_ISA

/// An open GGUF file: its metadata and its tensors. The tensors stay valid without it.
class gguf_file {
 public:
  /// @throws qompose::file_error unless the whole file is sound: sizes, offsets, types, names
  QOMPOSE_INLINE explicit gguf_file(const std::filesystem::path& path)
      : file_(open_gguf(path, metadata_, entries_, tensors_)) {}

  /// All tensors, in the order in which they lie in the file.
  [[nodiscard]] QOMPOSE_INLINE std::span<const file_tensor> tensors() const noexcept {
    return tensors_.all();
  }
  /// The tensor of that name; null if there is none.
  [[nodiscard]] QOMPOSE_INLINE const file_tensor* find_tensor(std::string_view name) const {
    return tensors_.find(name);
  }
  /// The metadata value filed under `key`; null if there is none.
  [[nodiscard]] QOMPOSE_INLINE const gguf_value* find(std::string_view key) const {
    const auto entry = metadata_.find(key);
    return entry == metadata_.end() ? nullptr : &entry->second;
  }
  [[nodiscard]] QOMPOSE_INLINE const gguf_metadata& metadata() const noexcept { return metadata_; }
  /// The metadata as it lies in the file and in its order; valid as long as this object lives.
  [[nodiscard]] QOMPOSE_INLINE std::span<const gguf_entry> entries() const noexcept {
    return entries_;
  }
  [[nodiscard]] QOMPOSE_INLINE const mapped_file& file() const noexcept { return *file_; }

 private:
  // Before file_: the constructor fills them on the way to it.
  gguf_metadata metadata_;
  std::vector<gguf_entry> entries_;
  tensor_index tensors_;
  std::shared_ptr<const mapped_file> file_;
};

}  // namespace qompose
