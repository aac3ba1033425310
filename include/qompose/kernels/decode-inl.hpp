// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Codes to floats.

#if defined(QOMPOSE_KERNELS_DECODE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_DECODE_INL_HPP_
#undef QOMPOSE_KERNELS_DECODE_INL_HPP_
#else
#define QOMPOSE_KERNELS_DECODE_INL_HPP_
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "qompose/formats/minifloat.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/recipe/quant.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// The value of every byte whose low bits hold a code of a format of at most 8 bits, scale not
/// applied; codes in signed types are two's complement.
template <class Element>
inline constexpr auto kDecodeTable = [] {
  using Code = typename Element::storage_type;
  constexpr int kSign = std::is_signed_v<Code> ? 1 << (Element::bits - 1) : 0;
  std::array<float, 256> table{};
  for (int i = 0; i < 256; ++i) {
    const int field = i & ((1 << Element::bits) - 1);
    table[static_cast<std::size_t>(i)] =
        Element::decode(static_cast<Code>((field ^ kSign) - kSign));
  }
  return table;
}();

/// Codes of N lanes of 32 bits to the floats of a table of 2^kBits entries.
template <int kBits>
struct LookUp {
  static constexpr std::size_t kEntries = std::size_t{1} << kBits;
  static constexpr bool kInRegisters = N > 1 && kEntries <= 2 * N;

  HWY_INLINE explicit LookUp(const float* table) : table_(table) {
    if constexpr (kInRegisters && kEntries % N == 0) {
      low_ = hn::LoadU(DF(), table);
      if constexpr (kEntries > N) high_ = hn::LoadU(DF(), table + N);
    } else if constexpr (kInRegisters) {
      alignas(64) float entries[2 * N] = {};
      for (std::size_t i = 0; i < kEntries; ++i) entries[i] = table[i];
      low_ = hn::Load(DF(), entries);
      high_ = hn::Load(DF(), entries + N);
    }
  }
  [[nodiscard]] HWY_INLINE VF operator()(VI codes) const {
    if constexpr (kInRegisters && kEntries <= N) {
      return hn::TableLookupLanes(low_, hn::IndicesFromVec(DF(), codes));
    } else if constexpr (kInRegisters) {
      const VI within = hn::And(codes, hn::Set(DI(), static_cast<std::int32_t>(N) - 1));
      const auto indices = hn::IndicesFromVec(DF(), within);
      const auto is_high = hn::RebindMask(DF(), hn::Ne(within, codes));
      return hn::IfThenElse(is_high, hn::TableLookupLanes(high_, indices),
                            hn::TableLookupLanes(low_, indices));
    } else {
      return hn::GatherIndex(DF(), table_, codes);
    }
  }

  /// The same for codes at bits kShift and up of each lane, whatever is above.
  template <int kShift>
  [[nodiscard]] HWY_INLINE VF At(VI words) const {
    static_assert(kBits <= 8);
    const VI codes = kShift == 0 ? words : hn::ShiftRight<kShift>(words);
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
    if constexpr (kBits == 4) return VF{_mm512_permutexvar_ps(codes.raw, low_.raw)};
#elif HWY_TARGET == HWY_AVX2
    // Bit 3 of the code chooses the half, as the sign.
    if constexpr (kBits == 4) {
      const VI half = hn::ShiftLeft<28 - (kShift < 28 ? kShift : 28)>(words);
      return VF{_mm256_blendv_ps(_mm256_permutevar8x32_ps(low_.raw, codes.raw),
                                 _mm256_permutevar8x32_ps(high_.raw, codes.raw),
                                 hn::BitCast(DF(), half).raw)};
    }
#endif
    return (*this)(hn::And(codes, hn::Set(DI(), (1 << kBits) - 1)));
  }

 private:
  const float* table_;
  VF low_ = hn::Zero(DF());
  VF high_ = hn::Zero(DF());
};

/// Sign, exponent and mantissa from the top of 32 bits to their places in a float.
template <int kExponent, int kMantissa>
HWY_INLINE VI MoveFields(VI codes) {
  constexpr auto kKept = static_cast<std::int32_t>(
      0x8000'0000u | ((1u << (kExponent + kMantissa)) - 1) << (23 - kMantissa));
  return hn::And(hn::ShiftRight<8 - kExponent>(codes), hn::Set(DI(), kKept));
}

/// Floats of codes of 8 bits by their fields; tables serve shorter ones where codes stand in rows.
template <class Element>
struct DecodeFields {
  static constexpr bool kExists = false;
  static constexpr bool kTakesTop = false;
};

/// Shorter codes are often subnormal, and products of subnormal floats may be slow, so these are
/// made from the exponent above and a difference.
template <int kExponent, int kMantissa, special_values kSpecials, overflow kOverflow,
          infinite_input kInfinity>
  requires(kExponent + kMantissa < 7 && kExponent >= 2 && N > 1)
struct DecodeFields<minifloat<kExponent, kMantissa, kSpecials, kOverflow, kInfinity>> {
  using Element = minifloat<kExponent, kMantissa, kSpecials, kOverflow, kInfinity>;
  static constexpr bool kExists = false;
  static constexpr bool kTakesTop = true;

  /// Of finite codes in the top bits of 32, whatever is below.
  static HWY_INLINE VF FromTop(VI codes) {
    const VI moved = MoveFields<kExponent, kMantissa>(codes);
    const VI sign = hn::And(moved, hn::Set(DI(), std::numeric_limits<std::int32_t>::min()));
    const VI magnitude = hn::Xor(moved, sign);
    constexpr std::int32_t kUnit = 1 << 23;
    const VI is_small = hn::VecFromMask(DI(), hn::Lt(magnitude, hn::Set(DI(), kUnit)));
    constexpr std::int32_t kBias = (127 - Element::exponent_bias) * kUnit;
    const VI raised = hn::Add(magnitude, hn::And(is_small, hn::Set(DI(), kUnit)));
    const VF value = hn::BitCast(DF(), hn::Add(raised, hn::Set(DI(), kBias)));
    const VF excess = hn::BitCast(DF(), hn::And(is_small, hn::Set(DI(), kBias + kUnit)));
    return hn::BitCast(DF(), hn::Or(hn::BitCast(DI(), hn::Sub(value, excess)), sign));
  }
};

template <int kExponent, int kMantissa, special_values kSpecials, overflow kOverflow,
          infinite_input kInfinity>
  requires(kExponent + kMantissa == 7 && N > 1)
struct DecodeFields<minifloat<kExponent, kMantissa, kSpecials, kOverflow, kInfinity>> {
  using Element = minifloat<kExponent, kMantissa, kSpecials, kOverflow, kInfinity>;
  static constexpr bool kExists = true;
  static constexpr bool kTakesTop = true;

  /// Of codes in the low 8 bits of 32.
  static HWY_INLINE VF Run(VI codes) {
    const VF value = FromTop(hn::ShiftLeft<24>(codes));
    if constexpr (kSpecials == special_values::none) {
      return value;
    } else {
      const VI magnitude = hn::And(codes, hn::Set(DI(), 127));
      constexpr int kTop = Element::encode(Element::max_finite);
      const auto is_special = hn::RebindMask(DF(), hn::Gt(magnitude, hn::Set(DI(), kTop)));
      VF special = hn::Set(DF(), std::numeric_limits<float>::quiet_NaN());
      if constexpr (kSpecials == special_values::infinity_and_nan) {
        const auto is_infinite = hn::RebindMask(DF(), hn::Eq(magnitude, hn::Set(DI(), kTop + 1)));
        special = hn::IfThenElse(is_infinite, hn::Set(DF(), std::numeric_limits<float>::infinity()),
                                 special);
      }
      return hn::IfThenElse(is_special, hn::CopySign(special, value), value);
    }
  }
  /// Of finite codes in the top 8 bits of 32, whatever is below. Exponent and mantissa are moved to
  /// their places in a float, which then lacks a power of two; subnormals become subnormals.
  static HWY_INLINE VF FromTop(VI codes) {
    return hn::Mul(hn::BitCast(DF(), MoveFields<kExponent, kMantissa>(codes)),
                   hn::Set(DF(), kLacking));
  }
  static constexpr float kLacking = [] {
    float power = 1.0f;
    for (int i = Element::exponent_bias; i < 127; ++i) power *= 2.0f;
    return power;
  }();
};

/// What codes of `Element` stand for before scale and offset.
template <class Element>
struct DecodeVector {
  using Code = typename Element::storage_type;
  static constexpr bool kArithmetic = integer_format<Element>;
  static constexpr bool kPlain = detail::is_plain_float<Element>;
  static constexpr bool kFields = DecodeFields<Element>::kExists;
  static constexpr bool kNeedsTable = !kArithmetic && !kPlain && !kFields;
  using Table = LookUp<kNeedsTable ? Element::bits : 1>;

  HWY_INLINE DecodeVector() : table_(TableOf()) {}
  [[nodiscard]] HWY_INLINE VF operator()(const Code* codes) const {
    if constexpr (kPlain) {
      return LoadFloats<Element>(reinterpret_cast<const std::uint8_t*>(codes));
    } else if constexpr (kArithmetic) {
      return hn::ConvertTo(DF(), LoadCodes(codes));
    } else if constexpr (kFields) {
      return DecodeFields<Element>::Run(LoadCodes(codes));
    } else {
      return table_(hn::And(LoadCodes(codes), hn::Set(DI(), (1 << Element::bits) - 1)));
    }
  }

 private:
  static constexpr float kNoTable[2] = {};
  static HWY_INLINE const float* TableOf() {
    if constexpr (kNeedsTable) {
      return kDecodeTable<Element>.data();
    } else {
      return kNoTable;
    }
  }
  Table table_;
};

/// The same for entries that are given.
template <class Element>
  requires learned_format<Element>
struct DecodeVector<Element> {
  HWY_INLINE explicit DecodeVector(const float* entries) : table_(entries) {}
  [[nodiscard]] HWY_INLINE VF operator()(const std::uint8_t* codes) const {
    return table_(LoadCodes(codes));
  }

 private:
  LookUp<Element::bits> table_;
};

/// Values of n codes: scale * code, scale * (code - zero_point) or scale * code + minimum.
template <class Element, class Zero>
struct Decode {
  using Code = typename Element::storage_type;

  /// @param scales   one a group, or null for none
  /// @param offsets  zero points or minima, one a group; null where the spec has neither
  static void Groups(const Code* codes, std::size_t n, std::size_t group, const float* scales,
                     const float* offsets, float* out) {
    const DecodeVector<Element> decode;
    for (std::size_t first = 0; first < n; first += group) {
      const std::size_t size = std::min(group, n - first);
      const float scale = scales != nullptr ? *scales++ : 1.0f;
      const float offset = offsets != nullptr ? *offsets++ : 0.0f;
      Run(decode, codes + first, size, scale, offset, out + first);
    }
  }

  /// One group. With entries of a codebook, `decode` is made of these.
  static HWY_INLINE void Run(const DecodeVector<Element>& decode, const Code* codes, std::size_t n,
                             float scale, float offset, float* out) {
    const VF scales = hn::Set(DF(), scale);
    const VF offsets = hn::Set(DF(), offset);
    std::size_t i = 0;
    for (; i + N <= n; i += N)
      hn::StoreU(Scaled(decode(codes + i), scales, offsets), DF(), out + i);
    if (i == n) return;
    Code padded[N] = {};
    std::copy(codes + i, codes + n, padded);
    StoreFirst(Scaled(decode(padded), scales, offsets), out + i, n - i);
  }

 private:
  static HWY_INLINE VF Scaled(VF value, VF scale, VF offset) {
    if constexpr (is_zero_point<Zero>) {
      return hn::Mul(scale, hn::Sub(value, offset));
    } else if constexpr (is_minimum<Zero>) {
      return hn::Add(hn::Mul(scale, value), offset);
    } else {
      return hn::Mul(scale, value);
    }
  }
};

/// Values of n codes of one codebook, times a scale.
template <class Element>
struct DecodeLearned {
  static void Run(const std::uint8_t* codes, std::size_t n, float scale, const float* entries,
                  float* out) {
    Decode<Element, no_zero>::Run(DecodeVector<Element>(entries), codes, n, scale, 0.0f, out);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
