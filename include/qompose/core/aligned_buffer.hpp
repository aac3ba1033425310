// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Aligned storage for codes, scales and activations.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "qompose/core/config.hpp"

namespace qompose {

/// For memory that its owner fills before anyone reads it.
struct uninitialized {};

/// A fixed number of zeroed elements, 64-byte aligned; large ones ask for huge pages.
///
/// It stands in for std::vector in everything that kernels touch: its members are inlined
/// everywhere, so translation units with different instruction sets share no code through it.
template <class T>
class aligned_buffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  static constexpr std::size_t alignment = 64;

  QOMPOSE_INLINE aligned_buffer() noexcept = default;

  /// @param size  number of elements, zeroed
  /// @throws std::bad_alloc
  QOMPOSE_INLINE explicit aligned_buffer(std::size_t size) : aligned_buffer(size, uninitialized{}) {
    if (size > 0) std::memset(static_cast<void*>(data_), 0, size * sizeof(T));
  }
  /// The same without the zeros.
  QOMPOSE_INLINE aligned_buffer(std::size_t size, uninitialized) : size_(size) {
    if (size == 0) return;
    const std::size_t bytes = size * sizeof(T);
    data_ = static_cast<T*>(allocate(bytes));
  }
  QOMPOSE_INLINE aligned_buffer(const aligned_buffer& other) : aligned_buffer(other.size_) {
    if (size_ > 0) std::memcpy(static_cast<void*>(data_), other.data_, size_ * sizeof(T));
  }
  QOMPOSE_INLINE aligned_buffer(aligned_buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  QOMPOSE_INLINE aligned_buffer& operator=(aligned_buffer other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  QOMPOSE_INLINE ~aligned_buffer() {
    if (data_ != nullptr) ::operator delete(static_cast<void**>(static_cast<void*>(data_))[-1]);
  }

  [[nodiscard]] QOMPOSE_INLINE T* data() noexcept { return data_; }
  [[nodiscard]] QOMPOSE_INLINE const T* data() const noexcept { return data_; }
  [[nodiscard]] QOMPOSE_INLINE std::size_t size() const noexcept { return size_; }
  QOMPOSE_INLINE T& operator[](std::size_t i) noexcept { return data_[i]; }
  QOMPOSE_INLINE const T& operator[](std::size_t i) const noexcept { return data_[i]; }

 private:
  /// Aligned memory with the pointer to give back just before it: the aligned operator new is
  /// several times slower than the plain one in common C libraries. Large memory starts at a huge
  /// page; what is skipped for that is never touched, and so takes addresses but no memory.
  QOMPOSE_INLINE static void* allocate(std::size_t bytes) {
    const std::size_t aligned = bytes < huge_page ? alignment : huge_page;
    void* block = ::operator new(bytes + aligned + aligned / 4 + sizeof(void*));
    const auto first = reinterpret_cast<std::uintptr_t>(block) + sizeof(void*);
    const std::uintptr_t start = (first + aligned - 1) / aligned * aligned;
    void* data = static_cast<char*>(block) + (start - reinterpret_cast<std::uintptr_t>(block));
    static_cast<void**>(data)[-1] = block;
    if (aligned == huge_page) advise_huge_pages(data, bytes);
    return data;
  }

  /// Weights that stream from memory lose up to a third of the bandwidth to 4 KiB pages. The last
  /// page is a huge one as well where it is nearly full.
  QOMPOSE_INLINE static void advise_huge_pages(void* data, std::size_t bytes) noexcept {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    (void)::madvise(data, (bytes + huge_page / 4) / huge_page * huge_page, MADV_HUGEPAGE);
#else
    (void)data;
    (void)bytes;
#endif
  }

  static constexpr std::size_t huge_page = std::size_t{1} << 21;

  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace qompose
