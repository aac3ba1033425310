// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Writer of GGUF files, version 3.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"
#include "qompose/io/checked_size.hpp"
#include "qompose/io/file_tensor.hpp"
#include "qompose/io/ggml_encodings.hpp"
#include "qompose/io/gguf.hpp"
#include "qompose/io/new_file.hpp"

namespace qompose {

namespace detail {
inline namespace QOMPOSE_ISA {

inline constexpr std::uint32_t gguf_string_type = 8;
inline constexpr std::uint32_t gguf_array_type = 9;

/// The number that GGUF gives to a type of metadata.
template <class T>
[[nodiscard]] constexpr std::uint32_t gguf_type_number() noexcept {
  if constexpr (!std::is_arithmetic_v<T>) {
    return gguf_string_type;
  } else if constexpr (std::is_same_v<T, bool>) {
    return 7;
  } else if constexpr (std::is_floating_point_v<T>) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8);
    return sizeof(T) == 4 ? 6 : 12;
  } else {
    constexpr std::uint32_t unsigned_type = sizeof(T) == 1   ? 0
                                            : sizeof(T) == 2 ? 2
                                            : sizeof(T) == 4 ? 4
                                                             : 10;
    return unsigned_type + (std::is_signed_v<T> ? 1 : 0);
  }
}

inline void append_bytes(std::vector<std::byte>& to, const void* from, std::size_t size) {
  const auto* bytes = static_cast<const std::byte*>(from);
  to.insert(to.end(), bytes, bytes + size);
}
template <class T>
  requires std::is_arithmetic_v<T>
void append(std::vector<std::byte>& to, T value) {
  append_bytes(to, &value, sizeof value);
}
inline void append(std::vector<std::byte>& to, std::string_view text) {
  append(to, static_cast<std::uint64_t>(text.size()));
  append_bytes(to, text.data(), text.size());
}

/// The alignment that a metadata entry asks for, its type number and value given; 0 unless it is a
/// std::uint32_t and a power of two that readers take.
[[nodiscard]] inline std::size_t gguf_alignment_of(std::span<const std::byte> stored) {
  std::uint32_t words[2] = {gguf_string_type, 0};
  if (stored.size() == sizeof words) std::memcpy(words, stored.data(), sizeof words);
  const bool is_sound = words[0] == gguf_type_number<std::uint32_t>() &&
                        std::has_single_bit(words[1]) && words[1] <= (1u << 30);
  return is_sound ? words[1] : 0;
}

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// Writes a GGUF file: first say what is in it, then hand over the tensors' bytes one after
/// another.
///
/// Nothing is kept of a tensor once it is written, so a model may be larger than the memory. The
/// file lies under a temporary name until @ref finish, and where that is not reached nothing is
/// left. Errors name the file and the key or tensor.
///
/// @code
/// qompose::gguf_writer out("small.gguf");
/// out.copy_metadata(model, {"general.file_type"});
/// out.set("general.file_type", std::uint32_t{2});
/// out.declare("token_embd.weight", {n_tokens, dim}, 2);
/// out.write("token_embd.weight", blocks);
/// out.finish();
/// @endcode
///
/// @par Source https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
class gguf_writer {
 public:
  /// @throws qompose::file_error unless a file can be created beside `path`
  QOMPOSE_INLINE explicit gguf_writer(std::filesystem::path path) : file_(std::move(path)) {}

  /// Adds a number or a bool; its C++ type decides the type in the file.
  /// @throws qompose::argument_error if the key is there already, or if a tensor has been written
  template <class T>
    requires std::is_arithmetic_v<T>
  QOMPOSE_INLINE void set(std::string_view key, T value) {
    std::vector<std::byte> stored;
    detail::append(stored, detail::gguf_type_number<T>());
    detail::append(stored, value);
    add_entry(key, stored);
  }
  /// Adds a string.
  QOMPOSE_INLINE void set(std::string_view key, std::string_view value) {
    std::vector<std::byte> stored;
    detail::append(stored, detail::gguf_string_type);
    detail::append(stored, value);
    add_entry(key, stored);
  }
  /// Adds an array: a container of numbers, bools or strings.
  template <class Values>
    requires(!std::is_convertible_v<const Values&, std::string_view> &&
             requires { typename Values::value_type; })
  QOMPOSE_INLINE void set(std::string_view key, const Values& values) {
    using element = typename Values::value_type;
    std::vector<std::byte> stored;
    detail::append(stored, detail::gguf_array_type);
    detail::append(stored, detail::gguf_type_number<element>());
    detail::append(stored, static_cast<std::uint64_t>(values.size()));
    // std::vector<bool> hands out stand-ins.
    for (const auto& value : values) detail::append(stored, static_cast<const element&>(value));
    add_entry(key, stored);
  }
  /// Adds all entries of a file, bit for bit and in its order.
  /// @param from    stays as it is
  /// @param except  keys that are left out, for values of one's own
  QOMPOSE_INLINE void copy_metadata(const gguf_file& from,
                                    std::initializer_list<std::string_view> except = {}) {
    for (const gguf_entry& entry : from.entries()) {
      if (std::find(except.begin(), except.end(), entry.key) == except.end()) {
        add_entry(entry.key, entry.stored);
      }
    }
  }

  /// Says that a tensor will come; tensors are written in the order in which they are declared.
  /// @param name   less than 64 bytes, which is what ggml takes
  /// @param shape  1 to 4 dimensions, outermost first
  /// @param type   ggml's number of the element type, one that can be read
  /// @throws qompose::argument_error if the name is taken or too long, the type is unknown or a
  ///         tensor has been written
  /// @throws qompose::shape_error for no or more than four dimensions, one of 0, or rows that are
  ///         not a whole number of blocks
  QOMPOSE_INLINE void declare(std::string_view name, std::span<const std::size_t> shape,
                              std::uint32_t type);
  /// As above, for a shape in braces.
  QOMPOSE_INLINE void declare(std::string_view name, std::initializer_list<std::size_t> shape,
                              std::uint32_t type) {
    declare(name, std::span(shape.begin(), shape.size()), type);
  }

  /// Appends bytes to the tensor whose turn it is; a tensor may be handed over in pieces.
  /// @param name   that tensor, declared before
  /// @param bytes  its next blocks
  /// @throws qompose::argument_error if it is another tensor's turn, or these are more bytes than
  ///         the declared shape has left
  /// @throws qompose::file_error if the system does not take them
  QOMPOSE_INLINE void write(std::string_view name, std::span<const std::byte> bytes);

  /// Gives the file its name.
  /// @throws qompose::argument_error naming a declared tensor that has not been written
  /// @throws qompose::file_error if the system fails; nothing is left then
  QOMPOSE_INLINE void finish() {
    if (n_written_ < places_.size()) {
      refuse(places_[n_written_].name, "has " + std::to_string(n_bytes_) + " of its " +
                                           std::to_string(places_[n_written_].bytes) + " bytes");
    }
    write_head();
    file_.finish();
  }

  /// Bytes written so far; after @ref finish the size of the file.
  [[nodiscard]] QOMPOSE_INLINE std::uint64_t size() const noexcept { return file_.size(); }

 private:
  struct tensor_place {
    std::string name;
    std::vector<std::size_t> shape;
    std::uint32_t type;
    std::size_t bytes;
  };

  [[noreturn]] QOMPOSE_INLINE void refuse(std::string_view what, const std::string& why) const {
    throw argument_error(file_.path().string() + ": " + std::string(what) + ": " + why);
  }
  QOMPOSE_INLINE void require_no_data(std::string_view what) const {
    if (has_head_) refuse(what, "comes after the first tensor's bytes; the head is written");
  }
  QOMPOSE_INLINE void add_entry(std::string_view key, std::span<const std::byte> stored) {
    require_no_data(key);
    if (key.empty()) refuse("metadata", "an empty key");
    if (key.size() > 65535) refuse(key.substr(0, 64), "the key has more than 65535 bytes");
    if (keys_.find(key) != keys_.end()) refuse(key, "the metadata has this key already");
    if (key == "general.alignment") {
      const std::size_t alignment = detail::gguf_alignment_of(stored);
      if (alignment == 0) {
        refuse(key, "expected a std::uint32_t that is a power of two of at most 2^30");
      }
      alignment_ = alignment;
    }
    keys_.emplace(key);
    detail::append(metadata_, key);
    detail::append_bytes(metadata_, stored.data(), stored.size());
  }
  QOMPOSE_INLINE void write_head();
  QOMPOSE_INLINE void pad() {
    const auto past = static_cast<std::size_t>(file_.size() % alignment_);
    if (past != 0) file_.write(std::vector<std::byte>(alignment_ - past));
  }

  new_file file_;
  std::size_t alignment_ = 32;
  std::set<std::string, std::less<>> keys_;
  std::vector<std::byte> metadata_;
  std::set<std::string, std::less<>> names_;
  std::vector<tensor_place> places_;
  bool has_head_ = false;
  std::size_t n_written_ = 0;  // whole tensors
  std::size_t n_bytes_ = 0;    // of the tensor after them
};

void gguf_writer::declare(std::string_view name, std::span<const std::size_t> shape,
                          std::uint32_t type) {
  require_no_data(name);
  if (name.empty()) refuse("tensor", "an empty name");
  if (name.size() >= 64) {
    refuse(name, "the name has " + std::to_string(name.size()) + " bytes, expected less than 64");
  }
  if (names_.find(name) != names_.end()) refuse(name, "is declared twice");
  const tensor_encoding* encoding = find_ggml_encoding(type);
  if (encoding == nullptr) {
    refuse(name, "elements of type " + ggml_type_text(type) + " are not written");
  }
  const std::string what = file_.path().string() + ": " + std::string(name);
  if (shape.empty() || shape.size() > 4) {
    throw shape_error(what + ": " + std::to_string(shape.size()) + " dimensions, expected 1 to 4");
  }
  std::size_t bytes = 0;
  try {
    bytes = stored_bytes(what, shape, *encoding);
  } catch (const file_error& wrong) {
    throw shape_error(wrong.what());
  }
  names_.emplace(name);
  places_.push_back({std::string(name), {shape.begin(), shape.end()}, type, bytes});
}

void gguf_writer::write(std::string_view name, std::span<const std::byte> bytes) {
  if (names_.find(name) == names_.end()) refuse(name, "no tensor of this name is declared");
  if (n_written_ == places_.size()) refuse(name, "all declared tensors are written");
  const tensor_place& place = places_[n_written_];
  if (place.name != name) {
    refuse(name, "it is the turn of " + place.name + ", which has " + std::to_string(n_bytes_) +
                     " of its " + std::to_string(place.bytes) + " bytes");
  }
  if (bytes.size() > place.bytes - n_bytes_) {
    refuse(name, std::to_string(n_bytes_) + " + " + std::to_string(bytes.size()) +
                     " bytes, expected " + std::to_string(place.bytes));
  }
  write_head();
  file_.write(bytes);
  n_bytes_ += bytes.size();
  if (n_bytes_ < place.bytes) return;
  pad();
  ++n_written_;
  n_bytes_ = 0;
}

void gguf_writer::write_head() {
  if (std::exchange(has_head_, true)) return;
  std::vector<std::byte> head;
  detail::append_bytes(head, "GGUF", 4);
  detail::append(head, std::uint32_t{3});
  detail::append(head, static_cast<std::uint64_t>(places_.size()));
  detail::append(head, static_cast<std::uint64_t>(keys_.size()));
  detail::append_bytes(head, metadata_.data(), metadata_.size());
  std::size_t offset = 0;
  for (const tensor_place& place : places_) {
    detail::append(head, std::string_view(place.name));
    detail::append(head, static_cast<std::uint32_t>(place.shape.size()));
    // The file has the innermost dimension first.
    for (std::size_t i = place.shape.size(); i > 0; --i) {
      detail::append(head, static_cast<std::uint64_t>(place.shape[i - 1]));
    }
    detail::append(head, place.type);
    detail::append(head, static_cast<std::uint64_t>(offset));
    const std::size_t end = checked_sum(offset, place.bytes, place.name);
    offset = checked_sum(end, alignment_ - 1, place.name) / alignment_ * alignment_;
  }
  file_.write(head);
  pad();
}

}  // namespace qompose
