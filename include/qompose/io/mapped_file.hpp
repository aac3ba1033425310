// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A whole file, mapped into memory for reading.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"

namespace qompose {

inline namespace QOMPOSE_ISA {

/// Maps a regular file that is not empty; use @ref mapped_file, which also unmaps it.
/// @throws qompose::file_error with the system's reason
[[nodiscard]] inline std::span<const std::byte> map_whole_file(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe must fail below, not wait for somebody to write to it.
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const auto refuse = [&](const std::string& reason) {
    if (descriptor >= 0) ::close(descriptor);
    throw file_error(path.string() + ": " + reason);
  };
  if (descriptor < 0) refuse(std::strerror(errno));

  struct stat status = {};
  if (::fstat(descriptor, &status) != 0) refuse(std::strerror(errno));
  if (S_ISDIR(status.st_mode)) refuse("is a folder, expected a file");
  if (!S_ISREG(status.st_mode)) refuse("is not a regular file");
  if (status.st_size <= 0) refuse("is empty");
  if (static_cast<std::uintmax_t>(status.st_size) > std::numeric_limits<std::size_t>::max()) {
    refuse("is larger than the address space");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  void* const address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  if (address == MAP_FAILED) refuse(std::strerror(errno));
  ::close(descriptor);
  return {static_cast<const std::byte*>(address), size};
}

}  // namespace QOMPOSE_ISA

/// A read-only map of a whole file. Pages are read when they are touched.
///
/// @warning The file must not be shortened while it is mapped: touching a page that no longer
///          exists ends the program (POSIX `SIGBUS`).
class mapped_file {
 public:
  /// @throws qompose::file_error unless `path` is a readable regular file of at least one byte
  QOMPOSE_INLINE explicit mapped_file(std::filesystem::path path)
      : path_(std::move(path)), bytes_(map_whole_file(path_)) {}

  QOMPOSE_INLINE mapped_file(mapped_file&& other) noexcept
      : path_(std::move(other.path_)), bytes_(std::exchange(other.bytes_, {})) {}
  QOMPOSE_INLINE mapped_file& operator=(mapped_file&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;
  QOMPOSE_INLINE ~mapped_file() {
    if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
  }

  /// The content; valid as long as this object (or the one it was moved to) lives.
  [[nodiscard]] QOMPOSE_INLINE std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] QOMPOSE_INLINE const std::filesystem::path& path() const noexcept { return path_; }

  /// Tells the system that the pages inside `range` are not needed for now: they stop counting
  /// as resident memory, and are read again when somebody touches them. Pages that `range`
  /// covers only in part are kept.
  QOMPOSE_INLINE void release(std::span<const std::byte> range) const noexcept {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto address = reinterpret_cast<std::uintptr_t>(range.data());
    const std::uintptr_t first = (address + page - 1) / page * page;
    const std::uintptr_t last = (address + range.size()) / page * page;
    if (first >= last) return;
    auto* const begin = const_cast<std::byte*>(range.data()) + (first - address);
    ::madvise(begin, last - first, MADV_DONTNEED);
  }

 private:
  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace qompose
