// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A cache whose composition is chosen when the program runs.

#include <cstddef>
#include <memory>
#include <utility>

#include "qompose/core/executor.hpp"
#include "qompose/core/executor_ref.hpp"
#include "qompose/core/matrix_view.hpp"
#include "qompose/core/workspace.hpp"
#include "qompose/kernels/kernels.hpp"
#include "qompose/nn/attention.hpp"
#include "qompose/nn/kv_cache.hpp"

namespace qompose {
namespace detail {

/// What can be done with a cache behind a pointer.
struct cache_operations {
  void* (*copy)(const void*);
  void (*destroy)(void*);
  void (*append)(void*, matrix_view<const float>, matrix_view<const float>);
  void (*attend)(const void*, matrix_view<const float>, matrix_view<float>, const executor_ref&,
                 const attention_options&, workspace&);
  void (*truncate)(void*, std::size_t);
  std::size_t (*length)(const void*);
  std::size_t (*storage_bytes)(const void*);
};

inline namespace QOMPOSE_ISA {

/// The operations of a composition, for one set of instructions.
template <class Cache, class Isa>
struct operations_of {
  static const Cache& of(const void* cache) { return *static_cast<const Cache*>(cache); }
  static Cache& of(void* cache) { return *static_cast<Cache*>(cache); }

  static void* copy(const void* cache) { return new Cache(of(cache)); }
  static void destroy(void* cache) { delete static_cast<Cache*>(cache); }
  static void append(void* cache, matrix_view<const float> k, matrix_view<const float> v) {
    of(cache).template append<Isa>(k, v);
  }
  static void attend(const void* cache, matrix_view<const float> q, matrix_view<float> y,
                     const executor_ref& run, const attention_options& options,
                     workspace& scratch) {
    attention<executor_ref, Isa>(q, of(cache), y, run, options, scratch);
  }
  static void truncate(void* cache, std::size_t length) {
    of(cache).template truncate<Isa>(length);
  }
  static std::size_t length(const void* cache) { return of(cache).length(); }
  static std::size_t storage_bytes(const void* cache) { return of(cache).storage_bytes(); }

  static constexpr cache_operations table = {copy,     destroy, append,       attend,
                                             truncate, length,  storage_bytes};
};

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// A `kv_cache` of any composition: for programs in which a model's caches are named by an option,
/// so that every model does not have to be compiled with every cache. A copy is a sequence of its
/// own, as that of a `kv_cache` is.
/// @par Cost  a call by address where `kv_cache` has a plain one
class any_cache {
 public:
  template <class... Parts>
  QOMPOSE_INLINE explicit any_cache(kv_cache<Parts...> cache)
      : any_cache(of<isa_tag>(std::move(cache))) {}
  /// The same with kernels of a set of instructions.
  template <class Isa, class... Parts>
  [[nodiscard]] QOMPOSE_INLINE static any_cache of(kv_cache<Parts...> cache) {
    using composition = kv_cache<Parts...>;
    return any_cache(&detail::operations_of<composition, Isa>::table,
                     new composition(std::move(cache)), composition::is_before_rope);
  }

  QOMPOSE_INLINE any_cache(const any_cache& other)
      : is_before_rope(other.is_before_rope),
        operations_(other.operations_),
        cache_(operations_->copy(other.cache_.get()), operations_->destroy) {}
  QOMPOSE_INLINE any_cache(any_cache&& other) noexcept = default;
  QOMPOSE_INLINE any_cache& operator=(const any_cache& other) { return *this = any_cache(other); }
  QOMPOSE_INLINE any_cache& operator=(any_cache&& other) noexcept = default;
  QOMPOSE_INLINE ~any_cache() = default;

  /// These are as in `kv_cache`, with its exceptions.
  template <class Isa = isa_tag>
  QOMPOSE_INLINE void append(matrix_view<const float> k, matrix_view<const float> v) {
    operations_->append(cache_.get(), k, v);
  }
  QOMPOSE_INLINE void truncate(std::size_t length) { operations_->truncate(cache_.get(), length); }
  [[nodiscard]] QOMPOSE_INLINE std::size_t length() const {
    return operations_->length(cache_.get());
  }
  [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const {
    return operations_->storage_bytes(cache_.get());
  }

  /// @ref qompose::attention over it.
  QOMPOSE_INLINE void attend(matrix_view<const float> q, matrix_view<float> y,
                             const executor_ref& run, const attention_options& options,
                             workspace& scratch) const {
    operations_->attend(cache_.get(), q, y, run, options, scratch);
  }

  /// Whether keys come before rotary embedding.
  bool is_before_rope;

 private:
  QOMPOSE_INLINE any_cache(const detail::cache_operations* operations, void* cache,
                           bool before_rope) noexcept
      : is_before_rope(before_rope), operations_(operations), cache_(cache, operations->destroy) {}

  const detail::cache_operations* operations_;
  std::unique_ptr<void, void (*)(void*)> cache_;
};

inline namespace QOMPOSE_ISA {

/// Attention over a cache of any composition; the instructions are those it was made for.
template <executor Executor = serial, class Isa = isa_tag>
void attention(matrix_view<const float> q, const any_cache& cache, matrix_view<float> y,
               const Executor& run, const attention_options& options, workspace& scratch) {
  cache.attend(q, y, executor_ref(run), options, scratch);
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
