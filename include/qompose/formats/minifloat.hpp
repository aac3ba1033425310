// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Floats of at most 8 bits, of which FP8, FP6 and FP4 are made.

#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/core/fixed_text.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// Which codes of a small float are no numbers.
enum class special_values {
  none,              ///< every code is a finite number
  nan,               ///< the codes with all bits set below the sign are NaN (OCP E4M3, "fn")
  infinity_and_nan,  ///< the largest exponent holds infinity and NaN (IEEE 754, OCP E5M2)
};

/// What a value past the largest finite number becomes.
enum class overflow {
  saturate,    ///< the largest finite number of its sign
  nan_or_inf,  ///< infinity where the format has one, else NaN
};

/// What an infinity becomes where overflow saturates.
enum class infinite_input {
  largest_finite,  ///< the largest finite number of its sign
  nan_or_inf,      ///< infinity where the format has one, else NaN
};

/// A float with a sign, `ExponentBits` and `MantissaBits`; subnormals, exponent bias
/// 2^(ExponentBits - 1) - 1. Rounds to nearest, ties to even.
///
/// @tparam ExponentBits  2..6
/// @tparam MantissaBits  >= 1; with sign and exponent at most 8 bits
/// @tparam Specials      which codes are NaN or infinity
/// @tparam Overflow      what happens past `max_finite`; the stored type is the same
/// @tparam Infinity      what happens to an infinity where overflow saturates
///
/// @par NaN
/// NaN keeps its sign and becomes the format's (quiet) NaN; where there is none it becomes the
/// largest finite number of its sign. Tensors with NaN are refused by `quantize`.
///
/// @par Source
/// OCP 8-bit Floating Point Specification (OFP8), revision 1.0, 2023; OCP Microscaling Formats
/// (MX) Specification, version 1.0, 2023, section 5.3.
template <int ExponentBits, int MantissaBits, special_values Specials = special_values::none,
          overflow Overflow = overflow::saturate,
          infinite_input Infinity = infinite_input::largest_finite>
struct minifloat {
  static_assert(ExponentBits >= 2 && ExponentBits <= 6 && MantissaBits >= 1 &&
                    ExponentBits + MantissaBits <= 7,
                "qompose: minifloat: sign, exponent (2..6 bits) and mantissa (at least 1) exceed 8 "
                "bits; use fp16 or bf16 for wider floats");
  static_assert(Overflow == overflow::saturate || Specials != special_values::none,
                "qompose: minifloat: overflow to NaN or infinity needs a code for it; use "
                "overflow::saturate, or special_values::nan");
  using storage_type = std::uint8_t;

  static constexpr int bits = 1 + ExponentBits + MantissaBits;
  static constexpr int exponent_bits = ExponentBits;
  static constexpr int mantissa_bits = MantissaBits;
  static constexpr int exponent_bias = (1 << (ExponentBits - 1)) - 1;

 private:
  /// What OCP's format with these fields has; OCP knows no other 8-bit floats.
  static constexpr special_values usual_specials =
      ExponentBits == 4 && MantissaBits == 3   ? special_values::nan
      : ExponentBits == 5 && MantissaBits == 2 ? special_values::infinity_and_nan
                                               : special_values::none;
  static constexpr detail::fixed_text name_ = detail::fixed_text() + "fp" + std::size_t{bits} +
                                              "_e" + std::size_t{ExponentBits} + "m" +
                                              std::size_t{MantissaBits} +
                                              (Specials == usual_specials         ? ""
                                               : Specials == special_values::none ? "_finite"
                                               : Specials == special_values::nan  ? "_nan"
                                                                                  : "_ieee");
  static constexpr int dropped_bits = 23 - MantissaBits;
  static constexpr std::uint32_t sign_mask = 1u << (bits - 1);
  static constexpr std::uint32_t exponent_shift = (127u - exponent_bias) << MantissaBits;
  /// The largest code below the sign.
  static constexpr std::uint32_t top_code = sign_mask - 1;
  static constexpr std::uint32_t infinity_code = top_code - ((1u << MantissaBits) - 1);
  static constexpr std::uint32_t nan_code = Specials == special_values::infinity_and_nan
                                                ? infinity_code | (1u << (MantissaBits - 1))
                                                : top_code;
  static constexpr std::uint32_t overflow_code =
      Specials == special_values::infinity_and_nan ? infinity_code : nan_code;
  static constexpr std::uint32_t max_code = Specials == special_values::none  ? top_code
                                            : Specials == special_values::nan ? top_code - 1
                                                                              : infinity_code - 1;

  QOMPOSE_INLINE static constexpr float normal(std::uint32_t code) noexcept {
    return std::bit_cast<float>((code + exponent_shift) << dropped_bits);
  }

 public:
  /// OCP's name; other special values than OCP's are named behind it, `fp8_e4m3_ieee`.
  static constexpr std::string_view name = name_.view();
  static constexpr float max_finite = normal(max_code);
  static constexpr float min_normal = normal(1u << MantissaBits);
  static constexpr float min_subnormal = min_normal / static_cast<float>(1 << MantissaBits);

  /// The value of the nearest code, ties to even, past `max_finite` saturated; without branches.
  /// @param value  any number but NaN (dimensionless)
  QOMPOSE_INLINE static constexpr float nearest(float value) noexcept {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t absolute = word & 0x7fff'ffffu;
    constexpr auto top = std::bit_cast<std::uint32_t>(max_finite);
    const std::uint32_t clamped = absolute < top ? absolute : top;
    const float rounded = round_magnitude(clamped);
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(rounded) | (word & 0x8000'0000u));
  }

  /// The nearest code, ties to even; overflow, infinity and NaN as the type says.
  /// @param value  any float, already divided by its scale (dimensionless)
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    const auto word = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (word >> 31) << (bits - 1);
    const std::uint32_t magnitude = word & 0x7fff'ffffu;
    return static_cast<storage_type>(sign | encode_magnitude(magnitude));
  }

  /// Exact: every code is representable in float.
  /// @return the value (dimensionless); quiet NaN and infinities for their codes
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    const std::uint32_t sign = (code & sign_mask) << (32 - bits);
    const std::uint32_t magnitude = code & top_code;
    float value = 0.0f;
    if (magnitude > max_code) {
      value = Specials == special_values::infinity_and_nan && magnitude == infinity_code
                  ? std::numeric_limits<float>::infinity()
                  : std::numeric_limits<float>::quiet_NaN();
    } else if (magnitude < (1u << MantissaBits)) {
      // Subnormals carry no hidden bit, so build them by scaling instead of by fields.
      value = static_cast<float>(magnitude) * min_subnormal;
    } else {
      value = normal(magnitude);
    }
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
  }

 private:
  /// A sum with 2^(23 - MantissaBits) times the power of two at or below the magnitude (at or above
  /// the smallest normal) has the format's spacing, so the addition itself does the rounding.
  QOMPOSE_INLINE static constexpr float round_magnitude(std::uint32_t magnitude) noexcept {
    constexpr auto lowest = std::bit_cast<std::uint32_t>(min_normal);
    const std::uint32_t power = magnitude & 0x7f80'0000u;
    const std::uint32_t exponent = power < lowest ? lowest : power;
    const auto magic = std::bit_cast<float>(exponent + (std::uint32_t{dropped_bits} << 23));
    return (std::bit_cast<float>(magnitude) + magic) - magic;
  }

  QOMPOSE_INLINE static constexpr std::uint32_t encode_magnitude(std::uint32_t magnitude) noexcept {
    constexpr std::uint32_t infinity = 0x7f80'0000u;
    if (magnitude > infinity) return Specials == special_values::none ? max_code : nan_code;
    if (magnitude >= std::bit_cast<std::uint32_t>(max_finite)) {
      if constexpr (Overflow == overflow::nan_or_inf) {
        // Half a step past the largest number; a tie goes to it where its code is even.
        constexpr auto half_step = std::uint32_t{1} << (dropped_bits - 1);
        constexpr std::uint32_t midpoint = std::bit_cast<std::uint32_t>(max_finite) + half_step;
        const bool stays = max_code % 2 == 0 ? magnitude <= midpoint : magnitude < midpoint;
        return stays ? max_code : overflow_code;
      } else if constexpr (Infinity == infinite_input::nan_or_inf &&
                           Specials != special_values::none) {
        return magnitude == infinity ? overflow_code : max_code;
      } else {
        return max_code;
      }
    }
    const float rounded = round_magnitude(magnitude);
    if (rounded < min_normal) return static_cast<std::uint32_t>(rounded / min_subnormal);
    return (std::bit_cast<std::uint32_t>(rounded) >> dropped_bits) - exponent_shift;
  }
};

}  // namespace qompose
