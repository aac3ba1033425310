// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Which formats stand for small integers times a power of two, so that they run on integer
///        dot products without any loss.

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// The integers that a format stands for, found from its scalar `decode` alone, so that a format
/// somebody adds takes part: value = (raised + lowest) * 2^-exponent with `raised` in 0..255 for
/// every code. Integers have exponent 0, fp4_e2m1 has 1 (it spells halves up to 6), fp6_e2m3 has 3;
/// fp8, fp6_e3m2 and nf4 have no such image.
///
/// @tparam Element  a format; learned formats have no image
template <class Element>
struct integer_image {
 private:
  static constexpr bool is_candidate = [] {
    if constexpr (number_format<Element>) {
      return Element::bits <= 8;
    } else {
      return false;
    }
  }();
  static constexpr int no_exponent = -1;
  static constexpr int most_exponent = 8;
  static constexpr std::size_t spelled = [] {
    if constexpr (is_candidate) return std::size_t{1} << Element::bits;
    return std::size_t{0};
  }();

  /// The value of the code that a field of a panel stands for, or 0 where it stands for none.
  static constexpr float value(std::size_t field) noexcept {
    using code_type = typename Element::storage_type;
    constexpr int offset = std::is_signed_v<code_type> ? -(1 << (Element::bits - 1)) : 0;
    const auto code = static_cast<code_type>(static_cast<int>(field) + offset);
    if constexpr (requires { Element::has_code(code); }) {
      if (!Element::has_code(code)) return 0.0f;
    }
    return Element::decode(code);
  }
  struct bounds {
    int low = 0;
    int high = 0;
    bool integral = true;
  };
  static constexpr bounds bounds_at(int power) noexcept {
    bounds found;
    for (std::size_t field = 0; field < spelled; ++field) {
      // Before any arithmetic, as NaN has none in constant expressions.
      if (!(value(field) >= -256.0f && value(field) <= 256.0f)) return {0, 0, false};
      const float scaled = value(field) * static_cast<float>(1 << power);
      if (scaled < -256.0f || scaled > 256.0f) return {0, 0, false};
      const int integer = static_cast<int>(scaled);
      if (static_cast<float>(integer) != scaled) return {0, 0, false};
      found.low = integer < found.low ? integer : found.low;
      found.high = integer > found.high ? integer : found.high;
    }
    found.integral = found.high - found.low <= 255;
    return found;
  }
  static constexpr int find_exponent() noexcept {
    if constexpr (is_candidate) {
      for (int power = 0; power <= most_exponent; ++power) {
        if (bounds_at(power).integral) return power;
      }
    }
    return no_exponent;
  }
  static constexpr bounds found_bounds() noexcept {
    if constexpr (find_exponent() != no_exponent) return bounds_at(find_exponent());
    return {};
  }

 public:
  static constexpr int exponent = find_exponent();
  static constexpr bool exists = exponent != no_exponent;
  /// The smallest integer, and how far the largest lies above it.
  static constexpr int lowest = found_bounds().low;
  static constexpr int most_raised = found_bounds().high - lowest;

  /// raised, for each field.
  static constexpr auto table = [] {
    std::array<std::uint8_t, spelled == 0 ? 1 : spelled> raised{};
    if constexpr (exists) {
      for (std::size_t field = 0; field < spelled; ++field) {
        const int integer = static_cast<int>(value(field) * static_cast<float>(1 << exponent));
        raised[field] = static_cast<std::uint8_t>(integer - lowest);
      }
    }
    return raised;
  }();
  /// By how many bits fields are moved up to become raised, or no_shift where only a table says it.
  static constexpr int no_shift = -1;
  static constexpr int field_shift = [] {
    for (int shift = 0; exists && shift < 8; ++shift) {
      bool fits = true;
      for (std::size_t field = 0; field < spelled; ++field) {
        if constexpr (requires { Element::has_code(typename Element::storage_type{}); }) {
          if (!Element::has_code(static_cast<typename Element::storage_type>(field))) continue;
        }
        fits = fits && table[field] == field << shift;
      }
      if (fits) return shift;
    }
    return no_shift;
  }();
  /// Whether raised is the field itself, so that nothing needs to be looked up.
  static constexpr bool is_field = field_shift == 0;
};

}  // namespace qompose
