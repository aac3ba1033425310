// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Two transforms, one after the other.

#include <cstddef>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/core/fixed_text.hpp"
#include "qompose/transforms/transform.hpp"

namespace qompose {

/// The map `A B` on rows: A first. Its data follows from the length of the rows, and a file can
/// keep it, where that holds for both.
///
/// @tparam A  a transform
/// @tparam B  a transform, possibly another `then`
template <class A, class B>
struct then {
  static_assert(transform_policy<A> && transform_policy<B>,
                "qompose: then: an argument is not a transform; use two of them, as in "
                "then<random_signs<1>, hadamard>");

 private:
  static constexpr detail::fixed_text name_ =
      detail::fixed_text() + "then<" + A::name + ", " + B::name + ">";

 public:
  using first_type = A;
  using second_type = B;
  static constexpr std::string_view name = name_.view();
  static constexpr bool is_identity = A::is_identity && B::is_identity;

  struct data {
    [[no_unique_address]] typename A::data first;
    [[no_unique_address]] typename B::data second;

    [[nodiscard]] QOMPOSE_INLINE std::size_t storage_bytes() const noexcept {
      return detail::transform_bytes<A>(first) + detail::transform_bytes<B>(second);
    }
  };

  QOMPOSE_INLINE static data data_for(std::size_t n)
    requires(detail::makes_own_data<A> && detail::makes_own_data<B>)
  {
    return {detail::transform_data_for<A>(n), detail::transform_data_for<B>(n)};
  }
  /// @throws as those of A and B
  QOMPOSE_INLINE static void require(const data& d, std::size_t n) {
    detail::require_transform_data<A>(d.first, n);
    detail::require_transform_data<B>(d.second, n);
  }

  QOMPOSE_INLINE static void forward(const data& d, float* row, std::size_t n) noexcept {
    A::forward(d.first, row, n);
    B::forward(d.second, row, n);
  }
  QOMPOSE_INLINE static void fold(const data& d, float* row, std::size_t n) noexcept {
    A::fold(d.first, row, n);
    B::fold(d.second, row, n);
  }
  QOMPOSE_INLINE static void unfold(const data& d, float* row, std::size_t n) noexcept {
    B::unfold(d.second, row, n);
    A::unfold(d.first, row, n);
  }

  /// What follows from n is not stored.
  QOMPOSE_INLINE static std::size_t stored_size(std::size_t n) noexcept
    requires(detail::stores_data<A> || detail::stores_data<B>)
  {
    return detail::transform_stored_size<A>(n) + detail::transform_stored_size<B>(n);
  }
  QOMPOSE_INLINE static void store(const data& d, std::size_t n, float* out) noexcept {
    detail::store_transform<A>(d.first, n, out);
    detail::store_transform<B>(d.second, n, out + detail::transform_stored_size<A>(n));
  }
  QOMPOSE_INLINE static data restore(const float* stored, std::size_t n) {
    return {detail::restore_transform<A>(stored, n),
            detail::restore_transform<B>(stored + detail::transform_stored_size<A>(n), n)};
  }
};

}  // namespace qompose
