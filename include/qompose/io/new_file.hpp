// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A file that gets its name when it is complete.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include "qompose/core/config.hpp"
#include "qompose/core/error.hpp"

namespace qompose {

inline namespace QOMPOSE_ISA {

/// Opens a file that did not exist for writing; use @ref new_file, which also closes it.
/// @return the descriptor and, in `path`, the name that was free: `path`.part, `path`.part1, ...
/// @throws qompose::file_error with the system's reason
[[nodiscard]] inline int open_unfinished(std::filesystem::path& path) {
  std::error_code ignored;
  if (path.empty()) throw file_error("a file to write needs a name");
  if (std::filesystem::is_directory(path, ignored)) {
    throw file_error(path.string() + ": is a folder, expected the name of a file to write");
  }
  // What a crash left behind, or another process is writing, stays as it is.
  constexpr int most_tries = 1000;
  std::filesystem::path unfinished;
  for (int i = 0; i < most_tries; ++i) {
    unfinished = path;
    unfinished += i == 0 ? ".part" : ".part" + std::to_string(i);
    const int descriptor =
        ::open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      path = std::move(unfinished);
      return descriptor;
    }
    if (errno != EEXIST) break;
  }
  throw file_error(unfinished.string() + ": " + std::strerror(errno));
}

/// Writes all bytes.
/// @throws qompose::file_error with the system's reason
inline void write_all(int descriptor, std::span<const std::byte> bytes,
                      const std::filesystem::path& path) {
  while (!bytes.empty()) {
    // Linux takes at most 2 GiB at a time, other systems refuse more.
    constexpr std::size_t most = std::size_t{1} << 30;
    const auto written =
        ::write(descriptor, bytes.data(), bytes.size() < most ? bytes.size() : most);
    if (written > 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    } else if (written == 0 || errno != EINTR) {
      throw file_error(path.string() + ": " + (written == 0 ? "no space" : std::strerror(errno)));
    }
  }
}

}  // namespace QOMPOSE_ISA

/// Writes a file under a temporary name beside the target; @ref finish brings it to the disk and
/// gives it its name. Whoever opens the target sees the old file or the whole new one, and where
/// @ref finish was not reached nothing is left.
class new_file {
 public:
  /// @param path  the target; it may exist, and is replaced by @ref finish
  /// @throws qompose::file_error unless a file can be created beside `path`
  QOMPOSE_INLINE explicit new_file(std::filesystem::path path)
      : path_(std::move(path)), unfinished_(path_), descriptor_(open_unfinished(unfinished_)) {}

  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;
  QOMPOSE_INLINE ~new_file() { discard(); }

  /// Appends.
  /// @throws qompose::file_error if the system does not take all of it; the file is then given up
  QOMPOSE_INLINE void write(std::span<const std::byte> bytes) {
    require_open();
    try {
      write_all(descriptor_, bytes, unfinished_);
    } catch (...) {
      discard();
      throw;
    }
    size_ += bytes.size();
  }
  /// Waits until the disk has everything, then gives the file its name.
  /// @throws qompose::file_error if one of the two fails; the target is then as it was
  QOMPOSE_INLINE void finish() {
    require_open();
    if (::fsync(descriptor_) != 0) refuse();
    // A full disk may show only here.
    if (::close(std::exchange(descriptor_, -1)) != 0) refuse();
    if (std::rename(unfinished_.c_str(), path_.c_str()) != 0) refuse();
    unfinished_.clear();
  }

  /// The target.
  [[nodiscard]] QOMPOSE_INLINE const std::filesystem::path& path() const noexcept { return path_; }
  /// Bytes written so far.
  [[nodiscard]] QOMPOSE_INLINE std::uint64_t size() const noexcept { return size_; }

 private:
  QOMPOSE_INLINE void require_open() const {
    if (descriptor_ < 0) throw file_error(path_.string() + ": is finished or was given up");
  }
  QOMPOSE_INLINE void discard() noexcept {
    if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
    if (!unfinished_.empty()) ::unlink(unfinished_.c_str());
  }
  [[noreturn]] QOMPOSE_INLINE void refuse() const {
    throw file_error(path_.string() + ": " + std::strerror(errno));
  }

  std::filesystem::path path_;
  std::filesystem::path unfinished_;  // empty once it has its name
  int descriptor_;
  std::uint64_t size_ = 0;
};

}  // namespace qompose
