// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Codes side by side without gaps, as `packed_codes` keeps them, and back to one a byte.

#if defined(QOMPOSE_KERNELS_PACK_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_PACK_INL_HPP_
#undef QOMPOSE_KERNELS_PACK_INL_HPP_
#else
#define QOMPOSE_KERNELS_PACK_INL_HPP_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "qompose/kernels/simd-inl.hpp"
#include "qompose/tensor/code_words.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Nibbles by vector; other widths eight codes at a time.
template <class Element>
struct Pack {
  using Code = typename Element::storage_type;
  static constexpr bool kNibbles = Element::bits == 4;

  /// n codes to (n * bits + 7) / 8 bytes, the last padded with zeros.
  static void Store(const Code* codes, std::size_t n, std::uint8_t* bytes) {
    std::size_t i = 0;
#if !QOMPOSE_PLAIN_TARGET
    if constexpr (kNibbles) {
      const hn::Rebind<std::uint8_t, DI16> half;
      for (; i + 4 * N <= n; i += 4 * N) {
        // A pair of bytes is a word: the low byte's nibble stays, the high byte's moves beside it.
        const auto pairs =
            hn::BitCast(DU16(), hn::LoadU(DU8(), reinterpret_cast<const std::uint8_t*>(codes + i)));
        const auto low = hn::And(pairs, hn::Set(DU16(), std::uint16_t{0x000f}));
        const auto high = hn::And(hn::ShiftRight<4>(pairs), hn::Set(DU16(), std::uint16_t{0x00f0}));
        const auto both = hn::BitCast(DI16(), hn::Or(low, high));
        hn::StoreU(hn::DemoteTo(half, both), half, bytes + i / 2);
      }
    }
#endif
    detail::pack_codes<Element>(codes + i, n - i, bytes + i * Element::bits / 8);
  }

  /// The other way round.
  static void Load(const std::uint8_t* bytes, std::size_t n, Code* codes) {
    std::size_t i = 0;
#if !QOMPOSE_PLAIN_TARGET
    if constexpr (kNibbles) {
      const hn::Rebind<std::uint8_t, DI16> half;
      for (; i + 4 * N <= n; i += 4 * N) {
        const auto pairs =
            hn::BitCast(DU16(), hn::PromoteTo(DI16(), hn::LoadU(half, bytes + i / 2)));
        const auto low = hn::And(pairs, hn::Set(DU16(), std::uint16_t{0x000f}));
        const auto high = hn::And(hn::ShiftLeft<4>(pairs), hn::Set(DU16(), std::uint16_t{0x0f00}));
        auto fields = hn::BitCast(DU8(), hn::Or(low, high));
        if constexpr (std::is_signed_v<Code>) {
          const auto sign = hn::Set(DU8(), std::uint8_t{8});
          fields = hn::Sub(hn::Xor(fields, sign), sign);
        }
        hn::StoreU(fields, DU8(), reinterpret_cast<std::uint8_t*>(codes + i));
      }
    }
#endif
    detail::unpack_codes<Element>(bytes + i * Element::bits / 8, n - i, codes + i);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
