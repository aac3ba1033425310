// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Integers with an implied power of two.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/core/fixed_text.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// Two's complement of `Bits` bits, `FractionBits` of them behind the point: value = code *
/// 2^-FractionBits. The elements of MXINT8 are `fixed_point<8, 6>`, which like MXINT8 leaves out
/// the most negative code.
///
/// @tparam Bits          2..8
/// @tparam FractionBits  0..Bits - 1
/// @tparam Range         which codes are made; the stored type is the same
/// @par Source
/// OCP Microscaling Formats (MX) Specification, version 1.0, 2023, section 5.3.4.
template <int Bits, int FractionBits, code_range Range = code_range::symmetric>
struct fixed_point {
  static_assert(FractionBits >= 0 && FractionBits < Bits,
                "qompose: fixed_point: fraction_bits is not in 0..bits - 1; the sign takes one "
                "bit of them");
  using integer = int_n<Bits, Range>;
  using storage_type = std::int8_t;

 private:
  static constexpr detail::fixed_text name_ = detail::fixed_text() + "fixed_point<" +
                                              std::size_t{Bits} + ", " + std::size_t{FractionBits} +
                                              ">";
  static constexpr float steps = static_cast<float>(1 << FractionBits);

 public:
  static constexpr std::string_view name = name_.view();
  static constexpr int bits = Bits;
  static constexpr int fraction_bits = FractionBits;
  static constexpr float max_finite = integer::max_finite / steps;

  /// Nearest code, ties to even; saturates; NaN gives 0.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    return integer::encode(value * steps);
  }
  /// The value of a code (dimensionless).
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return static_cast<float>(code) / steps;
  }
  /// The value of the nearest code.
  QOMPOSE_INLINE static constexpr float nearest(float value) noexcept {
    return decode(encode(value));
  }
};

static_assert(number_format<fixed_point<8, 6>>);
static_assert(fixed_point<8, 6>::max_finite == 1.984375f);
static_assert(fixed_point<8, 6>::encode(-2.0f) == -127);

}  // namespace qompose
