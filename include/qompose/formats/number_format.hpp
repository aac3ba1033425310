// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a number format must offer.

#include <concepts>
#include <cstdint>
#include <string_view>

namespace qompose {

/// A format with fixed values: a code of `bits` bits stands for one float.
///
/// It must not know its scale, its neighbours, or how codes lie in bytes.
template <class F>
concept number_format = requires(float value, typename F::storage_type code) {
  { F::encode(value) } noexcept -> std::same_as<typename F::storage_type>;
  { F::decode(code) } noexcept -> std::same_as<float>;
  { F::bits } -> std::convertible_to<int>;
  { F::name } -> std::convertible_to<std::string_view>;
  { F::max_finite } -> std::convertible_to<float>;
};

/// A format whose codes are the integers themselves, so that dot products of codes are exact.
template <class F>
concept integer_format = number_format<F> && requires {
  { F::min_code } -> std::convertible_to<int>;
  { F::max_code } -> std::convertible_to<int>;
};

/// True for formats without a negative value.
template <number_format F>
inline constexpr bool is_unsigned_format = [] {
  if constexpr (integer_format<F>) {
    return F::min_code >= 0;
  } else {
    return false;
  }
}();

}  // namespace qompose
