// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Powers of two as scales: the rules of the MX formats.
///
/// With a the largest magnitude of a group and m that of the element format, all rules pick a
/// 2^s near a / m. They differ in what they do with the part of a between two powers of two.

#include <bit>
#include <cstddef>
#include <cstdint>

#include "qompose/core/config.hpp"
#include "qompose/rules/rule.hpp"

namespace qompose {
namespace detail {
inline namespace QOMPOSE_ISA {

/// floor(log2(value)) of a positive finite float, subnormals included.
[[nodiscard]] QOMPOSE_INLINE constexpr int floor_log2(float value) noexcept {
  const auto word = std::bit_cast<std::uint32_t>(value);
  const int exponent = static_cast<int>(word >> 23);
  return exponent > 0 ? exponent - 127 : static_cast<int>(std::bit_width(word)) - 150;
}

/// 2^s, s clamped to what E8M0 and float both hold.
[[nodiscard]] QOMPOSE_INLINE constexpr float power_of_two(int s) noexcept {
  if (s <= -127) return 0x1p-127f;
  return std::bit_cast<float>(static_cast<std::uint32_t>((s < 127 ? s : 127) + 127) << 23);
}

/// Exponent of the largest magnitude of a format: 8 for E4M3, 2 for E2M1, 0 for `fixed_point<8,
/// 6>`.
template <number_format Element>
inline constexpr int largest_exponent = floor_log2(Element::max_finite);

/// Bits behind the leading one of an element's largest numbers.
template <number_format Element>
inline constexpr int trailing_bits = [] {
  if constexpr (requires { Element::mantissa_bits; }) {
    return int{Element::mantissa_bits};
  } else {
    return Element::bits - 2;
  }
}();

/// What the scale has to bring into the range of the codes.
template <class Group>
[[nodiscard]] QOMPOSE_INLINE constexpr float magnitude_of(value_range range) noexcept {
  if constexpr (Group::offset != offset_kind::none) {
    const value_range full = covered<Group::offset>(range);
    return full.highest - full.lowest;
  } else {
    return -range.lowest > range.highest ? -range.lowest : range.highest;
  }
}

/// `Rule::exponent<Element>(a)` made a rule; an empty group has scale 0, which E8M0 stores as byte
/// 0.
template <class Rule>
struct power_of_two_rule {
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit_range(value_range range) const noexcept {
    const float magnitude = magnitude_of<Group>(range);
    const float minimum =
        Group::offset == offset_kind::none ? 0.0f : covered<Group::offset>(range).lowest;
    if (!(magnitude > 0.0f)) return {0.0f, minimum};
    return {power_of_two(Rule::template exponent<typename Group::element>(magnitude)), minimum};
  }
  template <class Group>
  [[nodiscard]] QOMPOSE_INLINE fitted_scale fit(const float* values, std::size_t n) const noexcept {
    return fit_range<Group>(range_of(values, n));
  }
};

}  // namespace QOMPOSE_ISA
}  // namespace detail

/// s = floor(log2 a) - floor(log2 m), the rule of the specification: the largest value of a group
/// may saturate by up to m / 2^floor(log2 m).
///
/// @par Source
/// OCP Microscaling Formats (MX) Specification, version 1.0, 2023, section 6.3.
struct mx_floor : detail::power_of_two_rule<mx_floor> {
  template <number_format Element>
  [[nodiscard]] QOMPOSE_INLINE static constexpr int exponent(float a) noexcept {
    return detail::floor_log2(a) - detail::largest_exponent<Element>;
  }
};

/// s = ceil(log2 a) - floor(log2 m): never saturates, at the price of a bit for most groups.
struct mx_ceil : detail::power_of_two_rule<mx_ceil> {
  template <number_format Element>
  [[nodiscard]] QOMPOSE_INLINE static constexpr int exponent(float a) noexcept {
    const int floor = detail::floor_log2(a);
    const bool is_power = a == detail::power_of_two(floor) ||
                          (floor < -127 && std::has_single_bit(std::bit_cast<std::uint32_t>(a)));
    return floor + (is_power ? 0 : 1) - detail::largest_exponent<Element>;
  }
};

/// As `mx_floor`, after half a unit of the element's last mantissa bit is added to a: a group whose
/// largest value would round up past the format's binade takes the next scale.
struct mx_even : detail::power_of_two_rule<mx_even> {
  template <number_format Element>
  [[nodiscard]] QOMPOSE_INLINE static constexpr int exponent(float a) noexcept {
    const std::uint32_t half_unit = 1u << (22 - detail::trailing_bits<Element>);
    const std::uint32_t word = std::bit_cast<std::uint32_t>(a) + half_unit;
    // Past the largest float only the exponent counts.
    if (word >= 0x7f80'0000u) return 128 - detail::largest_exponent<Element>;
    return detail::floor_log2(std::bit_cast<float>(word)) - detail::largest_exponent<Element>;
  }
};

/// The smallest s with m 2^s >= a: never saturates, and uses all of the format's range.
struct mx_rceil : detail::power_of_two_rule<mx_rceil> {
  template <number_format Element>
  [[nodiscard]] QOMPOSE_INLINE static constexpr int exponent(float a) noexcept {
    const int s = detail::floor_log2(a) - detail::largest_exponent<Element>;
    // Exact: a power of two changes no mantissa, and in double nothing overflows.
    const double reach = static_cast<double>(Element::max_finite) *
                         (s >= 0 ? static_cast<double>(detail::power_of_two(s))
                                 : 1.0 / static_cast<double>(detail::power_of_two(-s)));
    return reach >= static_cast<double>(a) ? s : s + 1;
  }
};

static_assert(fitting_rule<mx_floor> && fitting_rule<mx_even>);

}  // namespace qompose
