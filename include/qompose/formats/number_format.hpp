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

/// A format whose values are found when a tensor is stored: a code is an index into `entries`
/// sorted values of the format `entry`, kept beside the codes.
template <class F>
concept learned_format = requires(const float* values, float value, typename F::storage_type code) {
  requires number_format<typename F::entry>;
  { F::entries } -> std::convertible_to<int>;
  { F::encode(values, value) } noexcept -> std::same_as<typename F::storage_type>;
  { F::bits } -> std::convertible_to<int>;
  { F::name } -> std::convertible_to<std::string_view>;
};

/// Whatever codes of a tensor can be.
template <class F>
concept element_format = number_format<F> || learned_format<F>;

/// A format of scales alone: it has no zero and no negative value.
template <class F>
concept scale_only_format = number_format<F> && requires { requires F::is_scale_only; };

/// True for formats without a negative value.
template <class F>
inline constexpr bool is_unsigned_format = [] {
  if constexpr (integer_format<F>) {
    return F::min_code >= 0;
  } else {
    return scale_only_format<F>;
  }
}();

}  // namespace qompose
