// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Formats that stand for integers too wide for one byte, exactly or nearly, so that
/// products
///        of one token run on integer dot products.

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"
#include "qompose/packing/integer_image.hpp"

namespace qompose {
namespace detail {

/// The largest integer of a wide image that is rounded: 15 bits and 7 below them.
inline constexpr std::int32_t largest_wide_integer = 32767 * 128;

/// The nearest integer to value / largest * largest_wide_integer; 0 where all values are 0.
[[nodiscard]] QOMPOSE_INLINE constexpr std::int32_t wide_integer(float value,
                                                                 float largest) noexcept {
  if (!(largest > 0.0f)) return 0;
  const double steps = static_cast<double>(value) / static_cast<double>(largest) *
                       static_cast<double>(largest_wide_integer);
  return static_cast<std::int32_t>(steps + (steps < 0.0 ? -0.5 : 0.5));
}
/// What one of these integers is worth.
[[nodiscard]] QOMPOSE_INLINE constexpr float wide_unit(float largest) noexcept {
  return largest > 0.0f ? static_cast<float>(static_cast<double>(largest) /
                                             static_cast<double>(largest_wide_integer))
                        : 1.0f;
}

}  // namespace detail

/// The integers of a format of at most 6 bits without an integer_image: value = integer * unit.
///
/// Where all values are multiples of one power of two that two digits of 8 bits hold, such as those
/// of fp6_e3m2 (multiples of 2^-4 up to 28), they are exact. Others, such as those of nf4, are
/// rounded to 2^-23 of the largest, as a float near it is to 2^-24. Entries of learned formats are
/// found at run time in the same way.
///
/// @tparam Element  a format; those that are wider or hold infinities or NaN have no such image
template <class Element>
struct wide_image {
 private:
  static constexpr bool is_candidate = [] {
    if constexpr (number_format<Element> && !integer_image<Element>::exists) {
      return Element::bits <= 6;
    } else {
      return false;
    }
  }();
  static constexpr std::size_t spelled = [] {
    if constexpr (is_candidate) return std::size_t{1} << Element::bits;
    return std::size_t{0};
  }();
  /// As in integer_image.
  static constexpr float value([[maybe_unused]] std::size_t field) noexcept {
    if constexpr (is_candidate) {
      using code_type = typename Element::storage_type;
      constexpr int offset = std::is_signed_v<code_type> ? -(1 << (Element::bits - 1)) : 0;
      const auto code = static_cast<code_type>(static_cast<int>(field) + offset);
      if constexpr (requires { Element::has_code(code); }) {
        if (!Element::has_code(code)) return 0.0f;
      }
      return Element::decode(code);
    } else {
      return 0.0f;
    }
  }
  static constexpr float largest = [] {
    float found = 0.0f;
    for (std::size_t field = 0; field < spelled; ++field) {
      const float v = value(field);
      // NaN and infinity, before any arithmetic.
      if (!(v >= -1e30f && v <= 1e30f)) return -1.0f;
      found = v > found ? v : -v > found ? -v : found;
    }
    return found;
  }();
  static constexpr int no_exponent = -1;
  static constexpr int exponent = [] {
    for (int power = 0; power < 15 && largest > 0.0f; ++power) {
      const auto factor = static_cast<float>(1 << power);
      if (largest * factor > 0x7f7fp0f) break;
      bool all = true;
      for (std::size_t field = 0; field < spelled; ++field) {
        const float scaled = value(field) * factor;
        all = all && static_cast<float>(static_cast<std::int32_t>(scaled)) == scaled;
      }
      if (all) return power;
    }
    return no_exponent;
  }();

 public:
  static constexpr bool exists = is_candidate && largest > 0.0f;
  /// Whether the integers are the values and have 16 bits; rounded ones have up to
  /// detail::largest_wide_integer.
  static constexpr bool is_exact = exponent != no_exponent;
  static constexpr float unit = is_exact ? 1.0f / static_cast<float>(1 << (is_exact ? exponent : 0))
                                         : detail::wide_unit(largest);
  /// The integer of each field.
  static constexpr auto integers = [] {
    std::array<std::int32_t, 64> all{};
    if constexpr (exists) {
      for (std::size_t field = 0; field < spelled; ++field) {
        all[field] = is_exact ? static_cast<std::int32_t>(value(field) / unit)
                              : detail::wide_integer(value(field), largest);
      }
    }
    return all;
  }();
};

namespace detail {

/// Integers of fields of 6 bits as products: with upper bits u and lower bits l,
/// factor[u] * number[u % 2][l]. Signs and powers of two go into the factor.
struct factored_integers {
  bool exist = false;
  std::array<std::array<std::uint8_t, 16>, 2> number{};
  std::array<std::int8_t, 4> factor{};
};
template <class Element>
inline constexpr factored_integers wide_factors = [] {
  factored_integers found;
  if constexpr (wide_image<Element>::exists && wide_image<Element>::is_exact) {
    if constexpr (Element::bits == 6) {
      for (std::size_t u = 0; u < 4; ++u) {
        int all_bits = 0;
        int most = 0;
        int least = 0;
        const auto integer = [&](std::size_t l) {
          return wide_image<Element>::integers[16 * u + l];
        };
        for (std::size_t l = 0; l < 16; ++l) {
          most = integer(l) > most ? integer(l) : most;
          least = integer(l) < least ? integer(l) : least;
          all_bits |= integer(l) < 0 ? -integer(l) : integer(l);
        }
        if (most > 0 && least < 0) return found;
        int factor = 1;
        while (factor < 64 && all_bits != 0 && all_bits % (2 * factor) == 0) factor *= 2;
        if (least < 0) factor = -factor;
        found.factor[u] = static_cast<std::int8_t>(factor);
        for (std::size_t l = 0; l < 16; ++l) {
          const int number = integer(l) / factor;
          if (number > 255 || (u >= 2 && found.number[u % 2][l] != number)) return found;
          found.number[u % 2][l] = static_cast<std::uint8_t>(number);
        }
      }
      found.exist = true;
    }
  }
  return found;
}();

}  // namespace detail
}  // namespace qompose
