// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Writer of safetensors files: metadata, then tensors one after another.
///
/// @par Source
/// https://huggingface.co/docs/safetensors, "Format".

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/new_file.hpp"
#include "qompose/io/safetensors_header.hpp"

namespace qompose {

/// Writes a file: first all metadata and what tensors there will be, then the tensors' bytes in the
/// same order. The file gets its name in @ref finish; where that is not reached nothing is left.
///
/// The bytes of the first tensor begin at a multiple of 64 in the file; the format has no room
/// between tensors, so that a later one is aligned where those before it fill whole units.
class safetensors_writer {
 public:
  /// @param path  the target; it may exist, and is replaced by @ref finish
  /// @throws qompose::file_error unless a file can be created beside `path`
  QOMPOSE_INLINE explicit safetensors_writer(std::filesystem::path path) : file_(std::move(path)) {}

  /// Adds an entry of `__metadata__`.
  /// @param key    UTF-8, not used before
  /// @param value  UTF-8
  /// @throws qompose::argument_error if the key is taken or a tensor has been written
  QOMPOSE_INLINE void set_metadata(std::string_view key, std::string_view value) {
    require_no_data(key);
    if (!metadata_.emplace(key, value).second) refuse(key, "the metadata has this key already");
  }

  /// Declares the next tensor.
  /// @param name   UTF-8, not used before
  /// @param dtype  as the format spells it, such as `U8` or `F16`
  /// @param shape  outermost dimension first; 0 is a size like any other
  /// @throws qompose::argument_error if the name is taken, the type is unknown, the size overflows
  ///         or a tensor has been written
  QOMPOSE_INLINE void declare(std::string_view name, std::string_view dtype,
                              std::span<const std::size_t> shape);
  /// As above, for a shape in braces.
  QOMPOSE_INLINE void declare(std::string_view name, std::string_view dtype,
                              std::initializer_list<std::size_t> shape) {
    declare(name, dtype, std::span(shape.begin(), shape.size()));
  }

  /// Appends bytes to the tensor whose turn it is; a tensor may be handed over in pieces, one
  /// without elements need not be handed over.
  /// @param name   that tensor, declared before
  /// @param bytes  its next elements, little-endian
  /// @throws qompose::argument_error if it is another tensor's turn, or these are more bytes than
  ///         the declared shape has left
  /// @throws qompose::file_error if the system does not take them
  QOMPOSE_INLINE void write(std::string_view name, std::span<const std::byte> bytes);

  /// Gives the file its name.
  /// @throws qompose::argument_error naming a declared tensor that has not been written, or saying
  ///         that a name or text is not UTF-8
  /// @throws qompose::file_error if the system fails; nothing is left then
  QOMPOSE_INLINE void finish() {
    skip_complete();
    if (turn_ < places_.size()) refuse(places_[turn_].name, progress());
    write_header();
    file_.finish();
  }

 private:
  struct tensor_place {
    std::string name;
    std::string dtype;
    std::vector<std::size_t> shape;
    std::size_t bytes;
  };

  [[noreturn]] QOMPOSE_INLINE void refuse(std::string_view what, const std::string& why) const {
    throw argument_error(file_.path().string() + ": " + std::string(what) + ": " + why);
  }
  QOMPOSE_INLINE void require_no_data(std::string_view what) const {
    if (has_header_) refuse(what, "comes after the first tensor's bytes; the header is written");
  }
  [[nodiscard]] QOMPOSE_INLINE std::string progress() const {
    return "has " + std::to_string(n_bytes_) + " of its " + std::to_string(places_[turn_].bytes) +
           " bytes";
  }
  QOMPOSE_INLINE void skip_complete() noexcept {
    while (turn_ < places_.size() && n_bytes_ == places_[turn_].bytes) {
      ++turn_;
      n_bytes_ = 0;
    }
  }
  QOMPOSE_INLINE void write_header();

  new_file file_;
  std::map<std::string, std::string, std::less<>> metadata_;
  std::set<std::string, std::less<>> names_;
  std::vector<tensor_place> places_;
  std::size_t end_ = 0;  // of the declared tensors
  bool has_header_ = false;
  std::size_t turn_ = 0;
  std::size_t n_bytes_ = 0;  // of the tensor whose turn it is
};

void safetensors_writer::declare(std::string_view name, std::string_view dtype,
                                 std::span<const std::size_t> shape) {
  require_no_data(name);
  if (name == "__metadata__") refuse(name, "is the name of the metadata, not of a tensor");
  if (names_.find(name) != names_.end()) refuse(name, "is declared twice");
  std::size_t bytes = safetensors_element_bytes(dtype);
  if (bytes == 0) refuse(name, "elements of type " + std::string(dtype) + " are not written");
  std::size_t end = 0;
  try {
    for (const std::size_t n : shape) bytes = checked_product(bytes, n, "its shape");
    end = checked_sum(end_, bytes, "the file");
  } catch (const file_error& e) {
    refuse(name, e.what());
  }
  names_.emplace(name);
  places_.push_back({std::string(name), std::string(dtype), {shape.begin(), shape.end()}, bytes});
  end_ = end;
}

void safetensors_writer::write(std::string_view name, std::span<const std::byte> bytes) {
  if (names_.find(name) == names_.end()) refuse(name, "no tensor of this name is declared");
  if (bytes.empty()) return;
  skip_complete();
  if (turn_ == places_.size()) refuse(name, "all declared tensors are written");
  const tensor_place& place = places_[turn_];
  if (place.name != name) refuse(name, "it is the turn of " + place.name + ", which " + progress());
  if (bytes.size() > place.bytes - n_bytes_) {
    refuse(name, std::to_string(bytes.size()) + " more bytes, but it " + progress());
  }
  write_header();
  file_.write(bytes);
  n_bytes_ += bytes.size();
}

void safetensors_writer::write_header() {
  if (has_header_) return;
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata_.empty()) header["__metadata__"] = metadata_;
  std::size_t offset = 0;
  for (const tensor_place& place : places_) {
    header[place.name] = {{"dtype", place.dtype},
                          {"shape", place.shape},
                          {"data_offsets", {offset, offset + place.bytes}}};
    offset += place.bytes;
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception& e) {
    refuse("header", e.what());
  }
  constexpr std::size_t alignment = 64;
  text.append((alignment - (8 + text.size()) % alignment) % alignment, ' ');
  const std::uint64_t length = text.size();
  file_.write(std::as_bytes(std::span(&length, 1)));
  file_.write(std::as_bytes(std::span(text)));
  has_header_ = true;
}

}  // namespace qompose
