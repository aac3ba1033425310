// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Signed and unsigned integers of 2 to 8 bits.

#include <cstdint>
#include <string_view>

#include "qompose/core/config.hpp"
#include "qompose/formats/number_format.hpp"

namespace qompose {

/// Which codes a signed integer format uses.
enum class code_range {
  full,       ///< two's complement, -2^(bits-1) .. 2^(bits-1) - 1
  symmetric,  ///< without the most negative code
};

inline namespace QOMPOSE_ISA {

/// The integer nearest to `value` after clamping to [lowest, highest]; ties to even, NaN gives 0.
///
/// The sum with 1.5 * 2^23 has a spacing of one, so the addition itself does the rounding.
/// @pre |lowest|, |highest| <= 2^22
[[nodiscard]] QOMPOSE_INLINE constexpr std::int32_t round_to_code(float value, float lowest,
                                                                  float highest) noexcept {
  const float number = value == value ? value : 0.0f;
  const float above = number < lowest ? lowest : number;
  const float clamped = above > highest ? highest : above;
  return static_cast<std::int32_t>((clamped + 0x1.8p23f) - 0x1.8p23f);
}

}  // namespace QOMPOSE_ISA

/// Signed integer of `Bits` bits; the code is the value.
///
/// @par Source
/// Jacob et al., "Quantization and Training of Neural Networks for Efficient
/// Integer-Arithmetic-Only Inference", CVPR 2018, arXiv:1712.05877, equation 1.
template <int Bits, code_range Range = code_range::full>
struct int_n {
  static_assert(Bits >= 2 && Bits <= 8,
                "qompose: int_n: bits is not in 2..8; use fp16 or fp32 for wider numbers");
  using storage_type = std::int8_t;

  static constexpr std::string_view name =
      std::string_view("int2int3int4int5int6int7int8").substr(4 * (Bits - 2), 4);
  static constexpr int bits = Bits;
  static constexpr int max_code = (1 << (Bits - 1)) - 1;
  static constexpr int min_code = Range == code_range::full ? -max_code - 1 : -max_code;
  static constexpr float max_finite = static_cast<float>(max_code);

  /// Nearest code, ties to even; saturates; NaN gives 0.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    return static_cast<storage_type>(
        round_to_code(value, static_cast<float>(min_code), max_finite));
  }
  /// The value of a code (dimensionless).
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return static_cast<float>(code);
  }
};

/// Unsigned integer of `Bits` bits; the code is the value.
template <int Bits>
struct uint_n {
  static_assert(Bits >= 2 && Bits <= 8,
                "qompose: uint_n: bits is not in 2..8; use fp16 or fp32 for wider numbers");
  using storage_type = std::uint8_t;

  static constexpr std::string_view name =
      std::string_view("uint2uint3uint4uint5uint6uint7uint8").substr(5 * (Bits - 2), 5);
  static constexpr int bits = Bits;
  static constexpr int min_code = 0;
  static constexpr int max_code = (1 << Bits) - 1;
  static constexpr float max_finite = static_cast<float>(max_code);

  /// Nearest code, ties to even; saturates, negative values and NaN give 0.
  QOMPOSE_INLINE static constexpr storage_type encode(float value) noexcept {
    return static_cast<storage_type>(round_to_code(value, 0.0f, max_finite));
  }
  /// The value of a code (dimensionless).
  QOMPOSE_INLINE static constexpr float decode(storage_type code) noexcept {
    return static_cast<float>(code);
  }
};

using int2 = int_n<2>;
using int3 = int_n<3>;
using int4 = int_n<4>;
using int5 = int_n<5>;
using int6 = int_n<6>;
using int7 = int_n<7>;
using int8 = int_n<8>;
using uint2 = uint_n<2>;
using uint3 = uint_n<3>;
using uint4 = uint_n<4>;
using uint5 = uint_n<5>;
using uint6 = uint_n<6>;
using uint7 = uint_n<7>;
using uint8 = uint_n<8>;

static_assert(integer_format<int4> && integer_format<int8> && integer_format<uint4>);
static_assert(int4::encode(2.5f) == 2 && int4::encode(-3.5f) == -4 && int4::encode(99.0f) == 7);
static_assert(uint4::encode(-1.0f) == 0 && uint4::encode(14.5f) == 14);

}  // namespace qompose
