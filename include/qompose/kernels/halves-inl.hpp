// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Small floats as the upper halves of floats, two in a lane.

#if defined(QOMPOSE_KERNELS_HALVES_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_HALVES_INL_HPP_
#undef QOMPOSE_KERNELS_HALVES_INL_HPP_
#else
#define QOMPOSE_KERNELS_HALVES_INL_HPP_
#endif

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/formats/minifloat.hpp"
#include "qompose/formats/number_format.hpp"
#include "qompose/kernels/decode-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// The bits of what a code stands for.
template <class Element>
constexpr std::uint32_t DecodedBits(std::size_t code) {
  return std::bit_cast<std::uint32_t>(kDecodeTable<Element>[code]);
}

/// Whether codes of 5 or 6 bits stand for floats whose lower halves are zero.
template <class Element>
inline constexpr bool kFitsHalves = [] {
  if constexpr (number_format<Element>) {
    if constexpr ((Element::bits == 5 || Element::bits == 6) &&
                  std::is_unsigned_v<typename Element::storage_type>) {
      for (std::size_t code = 0; code < 64; ++code) {
        if ((DecodedBits<Element>(code) & 0xFFFFu) != 0) return false;
      }
      return true;
    }
  }
  return false;
}();

/// These halves.
template <class Element>
struct UpperHalves {
  alignas(64) static constexpr auto kWords = [] {
    std::array<std::uint16_t, 64> words{};
    for (std::size_t code = 0; code < 64; ++code) {
      words[code] = static_cast<std::uint16_t>(DecodedBits<Element>(code) >> 16);
    }
    return words;
  }();
  /// One byte of each.
  template <int kShift>
  static constexpr auto Byte() {
    std::array<std::uint8_t, 64> bytes{};
    for (std::size_t code = 0; code < 64; ++code) {
      bytes[code] = static_cast<std::uint8_t>(DecodedBits<Element>(code) >> kShift);
    }
    return bytes;
  }
  alignas(64) static constexpr std::array<std::uint8_t, 64> kLow = Byte<16>();
  alignas(64) static constexpr std::array<std::uint8_t, 64> kHigh = Byte<24>();
};

/// Decodes four columns at once; for formats, and on targets, where that is the shortest way.
template <class Element>
struct DecodeHalves {
  static constexpr bool kExists = false;
};

#if !QOMPOSE_PLAIN_TARGET
/// Halves of columns 0 and 2, and of columns 1 and 3, to floats.
template <class Use>
HWY_INLINE void UseHalves(VI even, VI odd, Use&& use) {
  const VI upper = hn::Set(DI(), static_cast<std::int32_t>(0xFFFF'0000u));
  const auto give = [&](auto column, VI bits)
                        QOMPOSE_FLATTEN { use(column, hn::BitCast(DF(), bits)); };
  give(std::integral_constant<std::size_t, 0>(), hn::ShiftLeft<16>(even));
  give(std::integral_constant<std::size_t, 1>(), hn::ShiftLeft<16>(odd));
  give(std::integral_constant<std::size_t, 2>(), hn::And(even, upper));
  give(std::integral_constant<std::size_t, 3>(), hn::And(odd, upper));
}
#endif

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
/// 8 bits: fields of two columns move to their places in halves at once; a power of two is lacking
/// then, as in DecodeFields. With vectors of 256 bits, fields moved one by one were faster.
template <int kExponent, int kMantissa, special_values kSpecials, overflow kOverflow,
          infinite_input kInfinity>
  requires(kExponent + kMantissa == 7)
struct DecodeHalves<minifloat<kExponent, kMantissa, kSpecials, kOverflow, kInfinity>> {
  static constexpr bool kExists = true;

  /// Finite codes only.
  template <class Use>
  HWY_INLINE void Quad(UBytes fields, Use&& use) const {
    using Fields = DecodeFields<minifloat<kExponent, kMantissa, kSpecials, kOverflow, kInfinity>>;
    const VF lacking = hn::Set(DF(), Fields::kLacking);
    const auto pairs = hn::BitCast(DI16(), fields);
    UseHalves(Move(hn::ShiftLeft<8>(pairs)), Move(pairs),
              [&](auto column, VF values)
                  QOMPOSE_FLATTEN { use(column, hn::Mul(values, lacking)); });
  }

 private:
  static HWY_INLINE VI Move(hn::Vec<DI16> codes) {
    constexpr auto kKept = static_cast<std::int16_t>(-32768 | 127 << (7 - kMantissa));
    return hn::BitCast(DI(), hn::And(hn::ShiftRight<8 - kExponent>(codes), hn::Set(DI16(), kKept)));
  }
};
#endif

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
/// 5 and 6 bits: two registers hold all halves, and a lane of 16 bits is told its own by its low
/// bits.
template <class Element>
  requires(kFitsHalves<Element>)
struct DecodeHalves<Element> {
  static constexpr bool kExists = true;

  HWY_INLINE DecodeHalves()
      : low_(_mm512_load_si512(UpperHalves<Element>::kWords.data())),
        high_(_mm512_load_si512(UpperHalves<Element>::kWords.data() + 32)) {}

  /// Calls use(column, values) for four columns whose fields are in the bytes of words.
  template <class Use>
  HWY_INLINE void Quad(UBytes fields, Use&& use) const {
    const VI even = Find(fields.raw);
    const VI odd = Find(_mm512_srli_epi16(fields.raw, 8));
    UseHalves(even, odd, use);
  }

 private:
  [[nodiscard]] HWY_INLINE VI Find(__m512i codes) const {
    return VI{_mm512_permutex2var_epi16(low_, codes, high_)};
  }
  __m512i low_, high_;
};
#elif !QOMPOSE_PLAIN_TARGET
/// 5 and 6 bits elsewhere: the two bytes of halves are looked up one by one.
template <class Element>
  requires(kFitsHalves<Element>)
struct DecodeHalves<Element> {
  static constexpr bool kExists = true;

  template <class Use>
  HWY_INLINE void Quad(UBytes fields, Use&& use) const {
    constexpr std::size_t kEntries = std::size_t{1} << Element::bits;
    const DU16 pairs;
    const auto byte = hn::Set(pairs, 0xFF);
    const auto low =
        hn::BitCast(pairs, LookUpBytes<kEntries>(UpperHalves<Element>::kLow.data(), fields));
    const auto high =
        hn::BitCast(pairs, LookUpBytes<kEntries>(UpperHalves<Element>::kHigh.data(), fields));
    UseHalves(hn::BitCast(DI(), hn::Or(hn::And(low, byte), hn::ShiftLeft<8>(high))),
              hn::BitCast(DI(), hn::Or(hn::ShiftRight<8>(low), hn::AndNot(byte, high))), use);
  }
};
#endif

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
