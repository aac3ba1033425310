// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief How fields of at most 6 bits are cut into planes of 4, 2 and 1 bits; see panels.hpp.

#include <cstddef>
#include <cstdint>

#include "qompose/core/config.hpp"

namespace qompose::detail {

/// Bits [kLowBit, kLowBit + kWidth) of the fields of a unit of kStep columns.
template <int kWidth, int kLowBit, std::size_t kStep>
struct field_plane {
  static constexpr int width = kWidth;
  static constexpr int low_bit = kLowBit;
  static constexpr int mask = (1 << kWidth) - 1;
  static constexpr std::size_t columns_a_block = 32 / kWidth;
  /// Where the plane starts within its unit; the planes below it are as many bits wide as it is
  /// high.
  static constexpr std::size_t begin = kStep * 2 * kLowBit;
  static constexpr std::size_t unit_bytes = kStep * 2;

  /// Byte of a panel that holds the bits of column k of a row, for fields of `kBits` bits in all.
  template <int kBits>
  QOMPOSE_INLINE static constexpr std::size_t byte_of(std::size_t k, std::size_t lane) noexcept {
    const std::size_t within = k % kStep;
    return k / kStep * (unit_bytes * kBits) + begin + within / columns_a_block * 64 + 4 * lane +
           within % 4;
  }
  /// First of the bits of column k within its byte.
  QOMPOSE_INLINE static constexpr int shift(std::size_t k) noexcept {
    return static_cast<int>(k % columns_a_block / 4) * kWidth;
  }
};

/// The same for fields of `kBits` bits.
template <int kBits, class Plane>
struct plane_of : Plane {
  QOMPOSE_INLINE static constexpr std::size_t byte(std::size_t k, std::size_t lane) noexcept {
    return Plane::template byte_of<kBits>(k, lane);
  }
};

/// Calls use(plane) for each plane of fields of `kBits` bits, lowest bits first.
template <int kBits, std::size_t kStep, class Use>
QOMPOSE_INLINE constexpr void for_each_plane(Use&& use) {
  constexpr int kFour = kBits & 4;
  constexpr int kTwo = kBits & 2;
  if constexpr (kFour != 0) use(plane_of<kBits, field_plane<4, 0, kStep>>());
  if constexpr (kTwo != 0) use(plane_of<kBits, field_plane<2, kFour, kStep>>());
  if constexpr ((kBits & 1) != 0) use(plane_of<kBits, field_plane<1, kFour + kTwo, kStep>>());
}

/// The field of column k of a row of a panel.
template <int kBits, std::size_t kStep>
[[nodiscard]] QOMPOSE_INLINE constexpr int get_field(const std::uint8_t* panel, std::size_t k,
                                                     std::size_t lane) noexcept {
  int field = 0;
  for_each_plane<kBits, kStep>([&](const auto& plane) {
    field |= (panel[plane.byte(k, lane)] >> plane.shift(k) & plane.mask) << plane.low_bit;
  });
  return field;
}

/// Sets it.
template <int kBits, std::size_t kStep>
QOMPOSE_INLINE constexpr void set_field(std::uint8_t* panel, std::size_t k, std::size_t lane,
                                        int field) noexcept {
  for_each_plane<kBits, kStep>([&](const auto& plane) {
    std::uint8_t& byte = panel[plane.byte(k, lane)];
    const int bits = (field >> plane.low_bit & plane.mask) << plane.shift(k);
    byte = static_cast<std::uint8_t>((byte & ~(plane.mask << plane.shift(k))) | bits);
  });
}

}  // namespace qompose::detail
