// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a transform must offer.

#include <concepts>
#include <cstddef>
#include <string_view>
#include <type_traits>

#include "qompose/core/config.hpp"

namespace qompose {

/// A linear map T on rows, with Y = X W^T = (X T)(W T^-T)^T: applied to activations while running
/// and folded into the weights offline.
///
/// `data` holds what the transform stores (empty when nothing). `forward` maps a row of
/// activations in place, `fold` a row of weights, `unfold` undoes `fold`; `name` is how a program
/// spells the type. It must not know what happens to the row afterwards.
///
/// `folds_as_forward`, true, says that `fold` is the same map as `forward`.
///
/// What a transform with data may add, each where it applies:
/// * `data_for(n)`: the data for rows of n elements, where it follows from n alone
/// * `require(data, n)`: throws `shape_error` unless the data fits rows of n elements
/// * `stored_size(n)`, `store(data, n, float*)`, `restore(const float*, n)`: the floats of which a
/// file
///   keeps the data, where it does not follow from n
/// * `data::storage_bytes()`: bytes beside the type itself
template <class T>
concept transform_policy = requires(const typename T::data& data, float* row, std::size_t n) {
  { T::forward(data, row, n) } noexcept;
  { T::fold(data, row, n) } noexcept;
  { T::unfold(data, row, n) } noexcept;
  { T::is_identity } -> std::convertible_to<bool>;
  { T::name } -> std::convertible_to<std::string_view>;
};

namespace detail {

/// Whether a transform's data follows from the length of the rows.
template <class T>
inline constexpr bool makes_own_data =
    std::is_empty_v<typename T::data> || requires(std::size_t n) { T::data_for(n); };

/// Whether a file can keep a transform's data as floats.
template <class T>
inline constexpr bool stores_data = requires(std::size_t n) { T::stored_size(n); };

/// The data for rows of n elements.
template <class T>
[[nodiscard]] QOMPOSE_INLINE typename T::data transform_data_for(std::size_t n) {
  static_assert(makes_own_data<T>,
                "qompose: transform: its data does not follow from the recipe; hand it to compress "
                "as the last argument");
  if constexpr (std::is_empty_v<typename T::data>) {
    return {};
  } else {
    return T::data_for(n);
  }
}

/// Throws unless the data fits rows of n elements.
template <class T>
QOMPOSE_INLINE void require_transform_data(const typename T::data& data, std::size_t n) {
  if constexpr (requires { T::require(data, n); }) T::require(data, n);
}

/// Bytes that the data occupies.
template <class T>
[[nodiscard]] QOMPOSE_INLINE std::size_t transform_bytes(const typename T::data& data) noexcept {
  if constexpr (requires { data.storage_bytes(); }) {
    return data.storage_bytes();
  } else {
    return std::is_empty_v<typename T::data> ? 0 : sizeof(data);
  }
}

/// Floats that a file keeps of the data.
template <class T>
[[nodiscard]] QOMPOSE_INLINE std::size_t transform_stored_size(std::size_t n) noexcept {
  if constexpr (stores_data<T>) {
    return T::stored_size(n);
  } else {
    return 0;
  }
}
/// Writes them.
template <class T>
QOMPOSE_INLINE void store_transform(const typename T::data& data, std::size_t n,
                                    float* out) noexcept {
  if constexpr (stores_data<T>) T::store(data, n, out);
}
/// The data that they were made of.
/// @throws as `T::restore`
template <class T>
[[nodiscard]] QOMPOSE_INLINE typename T::data restore_transform(const float* stored,
                                                                std::size_t n) {
  if constexpr (stores_data<T>) {
    return T::restore(stored, n);
  } else {
    return transform_data_for<T>(n);
  }
}

}  // namespace detail
}  // namespace qompose
