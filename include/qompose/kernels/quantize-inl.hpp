// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Floats to codes: the range of a run of values, and their codes for given scales.

#if defined(QOMPOSE_KERNELS_QUANTIZE_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_QUANTIZE_INL_HPP_
#undef QOMPOSE_KERNELS_QUANTIZE_INL_HPP_
#else
#define QOMPOSE_KERNELS_QUANTIZE_INL_HPP_
#endif

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <limits>

#include "qompose/formats/approximate.hpp"
#include "qompose/formats/fixed_point.hpp"
#include "qompose/formats/minifloat.hpp"
#include "qompose/kernels/divide-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/rules/rule.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// The smallest and largest of n values, and whether all are finite.
struct RangeOf {
  /// @return both NaN where a value is NaN or infinite; zeros for n = 0
  static HWY_INLINE value_range Run(const float* x, std::size_t n) {
    constexpr std::size_t kStep = 4 * N;
    if (n < N || N == 1) return Scalar(x, n);
    VF lowest[4];
    VF highest[4];
    VI magnitude[4];
    Unroll<4>([&](auto j) QOMPOSE_FLATTEN {
      lowest[j] = hn::LoadU(DF(), x);
      highest[j] = lowest[j];
      magnitude[j] = Magnitude(lowest[j]);
    });
    const auto take = [&](auto j, const float* at) QOMPOSE_FLATTEN {
      const VF v = hn::LoadU(DF(), at);
      lowest[j] = hn::Min(lowest[j], v);
      highest[j] = hn::Max(highest[j], v);
      magnitude[j] = hn::Max(magnitude[j], Magnitude(v));
    };
    std::size_t i = 0;
    for (; i + kStep <= n; i += kStep) {
      Unroll<4>([&](auto j) QOMPOSE_FLATTEN { take(j, x + i + j * N); });
    }
    for (; i + N <= n; i += N) take(std::integral_constant<std::size_t, 0>(), x + i);
    if (i < n) take(std::integral_constant<std::size_t, 1>(), x + n - N);

    const VI top =
        hn::Max(hn::Max(magnitude[0], magnitude[1]), hn::Max(magnitude[2], magnitude[3]));
    if (hn::GetLane(hn::MaxOfLanes(DI(), top)) >= kInfinity) return NotFinite();
    const VF low = hn::Min(hn::Min(lowest[0], lowest[1]), hn::Min(lowest[2], lowest[3]));
    const VF high = hn::Max(hn::Max(highest[0], highest[1]), hn::Max(highest[2], highest[3]));
    return {hn::GetLane(hn::MinOfLanes(DF(), low)), hn::GetLane(hn::MaxOfLanes(DF(), high))};
  }

  /// {-peak, peak} with the largest magnitude as the peak, for rules that treat both signs alike.
  static HWY_INLINE value_range Symmetric(const float* x, std::size_t n) {
    // Words of magnitudes, shifted left: that takes no constant, for which compilers would load.
    std::uint32_t top = 0;
    std::size_t i = 0;
    if (n >= N && N > 1) {
      VU words[4];
      Unroll<4>([&](auto j) QOMPOSE_FLATTEN { words[j] = hn::Zero(DU()); });
      const auto word = [&](std::size_t at) QOMPOSE_FLATTEN {
        const VU v = hn::BitCast(DU(), hn::LoadU(DF(), x + at));
        return hn::Add(v, v);
      };
      for (; i + 8 * N <= n; i += 8 * N) {
        Unroll<4>([&](auto j) QOMPOSE_FLATTEN {
          const VU pair = hn::Max(word(i + j * N), word(i + (j + 4) * N));
          words[j] = hn::Max(words[j], pair);
        });
      }
      if (i + 4 * N <= n) {
        Unroll<4>([&](auto j) QOMPOSE_FLATTEN { words[j] = hn::Max(words[j], word(i + j * N)); });
        i += 4 * N;
      }
      for (; i + N <= n; i += N) words[0] = hn::Max(words[0], word(i));
      if (i < n) words[1] = hn::Max(words[1], word(n - N));
      const VU most = hn::Max(hn::Max(words[0], words[1]), hn::Max(words[2], words[3]));
      top = hn::GetLane(hn::MaxOfLanes(DU(), most)) >> 1;
      i = n;
    }
    for (; i < n; ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, x + i, sizeof(bits));
      top = std::max(top, (bits << 1) >> 1);
    }
    if (top >= std::uint32_t{kInfinity}) return NotFinite();
    float peak;
    std::memcpy(&peak, &top, sizeof(peak));
    return {-peak, peak};
  }

  /// Ranges of consecutive groups of `group` values, the last possibly short.
  static void Groups(const float* x, std::size_t n, std::size_t group, bool symmetric,
                     value_range* ranges) {
    for (std::size_t first = 0; first < n; first += group, ++ranges) {
      const std::size_t size = std::min(group, n - first);
      *ranges = symmetric ? Symmetric(x + first, size) : Run(x + first, size);
    }
  }

 private:
  using DU = hn::Rebind<std::uint32_t, DF>;
  using VU = hn::Vec<DU>;

  static constexpr std::int32_t kInfinity = 0x7f80'0000;
  static constexpr std::int32_t kInfinityMask = 0x7fff'ffff;

  static HWY_INLINE VI Magnitude(VF v) {
    return hn::And(hn::BitCast(DI(), v), hn::Set(DI(), kInfinityMask));
  }
  static HWY_INLINE value_range NotFinite() {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    return {nan, nan};
  }
  static HWY_INLINE value_range Scalar(const float* x, std::size_t n) {
    if (n == 0) return {};
    value_range range{x[0], x[0]};
    float poison = 0.0f;
    for (std::size_t i = 0; i < n; ++i) {
      range.lowest = std::min(range.lowest, x[i]);
      range.highest = std::max(range.highest, x[i]);
      poison += x[i] * 0.0f;
    }
    return poison == 0.0f ? range : NotFinite();
  }
};

/// Nearest integers of numbers below 2^22, ties to even.
HWY_INLINE VI RoundToInt(VF v) {
#if HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  return VI{_mm256_cvtps_epi32(v.raw)};
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  return VI{_mm512_cvtps_epi32(v.raw)};
#else
  // The sum has a spacing of one.
  const VF magic = hn::Set(DF(), 0x1.8p23f);
  return hn::Sub(hn::BitCast(DI(), hn::Add(v, magic)), hn::BitCast(DI(), magic));
#endif
}

/// Four vectors of integers that fit a byte, in order, as 4 N bytes.
template <class Byte>
HWY_INLINE void StoreAsBytes(VI a, VI b, VI c, VI d, Byte* out) {
#if HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  const __m256i ab = _mm256_packs_epi32(a.raw, b.raw);
  const __m256i cd = _mm256_packs_epi32(c.raw, d.raw);
  // Packing works within halves; the permutation puts the words of four bytes in order.
  const __m256i bytes =
      std::is_signed_v<Byte> ? _mm256_packs_epi16(ab, cd) : _mm256_packus_epi16(ab, cd);
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), _mm256_permutevar8x32_epi32(bytes, order));
#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  const __m512i ab = _mm512_packs_epi32(a.raw, b.raw);
  const __m512i cd = _mm512_packs_epi32(c.raw, d.raw);
  const __m512i bytes =
      std::is_signed_v<Byte> ? _mm512_packs_epi16(ab, cd) : _mm512_packus_epi16(ab, cd);
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_storeu_si512(out, _mm512_permutexvar_epi32(order, bytes));
#else
  const hn::Rebind<Byte, DF> narrow;
  hn::StoreU(hn::DemoteTo(narrow, a), narrow, out);
  hn::StoreU(hn::DemoteTo(narrow, b), narrow, out + N);
  hn::StoreU(hn::DemoteTo(narrow, c), narrow, out + 2 * N);
  hn::StoreU(hn::DemoteTo(narrow, d), narrow, out + 3 * N);
#endif
}

/// Codes of scaled numbers, by vector where a format's rounding can be written without tables. The
/// primary template is for formats that are encoded one by one.
template <class Element>
struct EncodeVector {
  static constexpr bool kExists = false;
  static constexpr bool kSkipsClamp = false;
};

template <class Element>
  requires integer_format<Element>
struct EncodeVector<Element> {
  static constexpr bool kExists = true;
  /// `Unclamped` serves numbers that round to a code.
  static constexpr bool kSkipsClamp = true;
  static HWY_INLINE VI Unclamped(VF v) { return RoundToInt(v); }
  static HWY_INLINE VI Run(VF v) {
    const VF lowest = hn::Set(DF(), static_cast<float>(Element::min_code));
    return RoundToInt(hn::Min(hn::Max(v, lowest), hn::Set(DF(), Element::max_finite)));
  }
};

template <int kBits, int kFraction, code_range kRange>
struct EncodeVector<fixed_point<kBits, kFraction, kRange>> {
  static constexpr bool kExists = true;
  static constexpr bool kSkipsClamp = false;
  static HWY_INLINE VI Run(VF v) {
    const VF steps = hn::Set(DF(), static_cast<float>(1 << kFraction));
    return EncodeVector<typename fixed_point<kBits, kFraction, kRange>::integer>::Run(
        hn::Mul(v, steps));
  }
};

/// As the scalar code: a sum with a power of two rounds the magnitude, then fields are shifted.
template <int kExponent, int kMantissa, special_values kSpecials, infinite_input kInfinity>
struct EncodeVector<minifloat<kExponent, kMantissa, kSpecials, overflow::saturate, kInfinity>> {
  using Element = minifloat<kExponent, kMantissa, kSpecials, overflow::saturate, kInfinity>;
  static constexpr bool kExists = true;
  static constexpr bool kSkipsClamp = false;
  static HWY_INLINE VI Run(VF v) {
    constexpr int kDropped = 23 - kMantissa;
    const VF magnitude = hn::Min(hn::Abs(v), hn::Set(DF(), Element::max_finite));
    const VI smallest = hn::BitCast(DI(), hn::Set(DF(), Element::min_normal));
    const VI power = hn::And(hn::BitCast(DI(), magnitude), hn::Set(DI(), 0x7f80'0000));
    const VI exponent = hn::Max(power, smallest);
    const VF magic =
        hn::BitCast(DF(), hn::Add(exponent, hn::Set(DI(), std::int32_t{kDropped} << 23)));
    // The sum's last bits are the rounded magnitude in steps of its binade, hidden bit included.
    const VI steps =
        hn::Sub(hn::BitCast(DI(), hn::Add(magnitude, magic)), hn::BitCast(DI(), magic));
    // A binade above the smallest adds 2^mantissa to the code; the hidden bit adds the first one.
    const VI binades = hn::ShiftRight<23 - kMantissa>(hn::Sub(exponent, smallest));
    const VI code = hn::Add(steps, binades);
    const VI sign = hn::ShiftRight<32 - Element::bits>(
        hn::And(hn::BitCast(DI(), v), hn::Set(DI(), std::numeric_limits<std::int32_t>::min())));
    return hn::Or(code, hn::And(sign, hn::Set(DI(), 1 << (Element::bits - 1))));
  }
};

/// Codes of 16 bits, by vector where the target converts as the scalar code does.
template <class Format>
struct EncodeHalf {
  static constexpr bool kExists = false;
};

#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2) || HWY_ARCH_ARM_A64
template <>
struct EncodeHalf<fp16> {
  static constexpr bool kExists = true;
  static HWY_INLINE void Run(VF v, std::uint16_t* out) {
    const hn::Rebind<hwy::float16_t, DF> half;
    hn::StoreU(hn::DemoteTo(half, v), half, reinterpret_cast<hwy::float16_t*>(out));
  }
};
#endif

#if !QOMPOSE_PLAIN_TARGET
template <>
struct EncodeHalf<bf16> {
  static constexpr bool kExists = true;
  static HWY_INLINE void Run(VF v, std::uint16_t* out) {
    const hn::Rebind<std::uint32_t, DF> word;
    const hn::Rebind<std::int32_t, DF> sign;
    const hn::Rebind<std::uint16_t, DF> half;
    const auto bits = hn::BitCast(word, v);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(word, 1u));
    const auto rounded = hn::ShiftRight<16>(hn::Add(bits, hn::Add(odd, hn::Set(word, 0x7fffu))));
    hn::StoreU(hn::DemoteTo(half, hn::BitCast(sign, rounded)), half, out);
  }
};
#endif

/// Indices of the nearest of sorted values, the lower one at a tie: of codebooks, and of formats
/// that list their `values`.
struct EncodeSorted {
  static constexpr std::size_t kMostEntries = 256;

  /// @param entries  count >= 2 values, ascending
  /// @param scale    values are divided by it; 0 stands for a group of zeros
  static void Run(const float* x, std::size_t n, float scale, const float* entries,
                  std::size_t count, std::uint8_t* codes) {
    float thresholds[kMostEntries];
    for (std::size_t i = 0; i + 1 < count; ++i) {
      // x > midpoint, which may fall between two floats, means x > the float at or below it.
      const double midpoint =
          0.5 * (static_cast<double>(entries[i]) + static_cast<double>(entries[i + 1]));
      thresholds[i] = static_cast<float>(midpoint);
      if (static_cast<double>(thresholds[i]) > midpoint) {
        thresholds[i] = std::nextafter(thresholds[i], -std::numeric_limits<float>::infinity());
      }
    }
    const float divisor = scale != 0.0f ? scale : 1.0f;
    const float* end = thresholds + count - 1;
    std::size_t i = 0;
    if (count <= 32 && N > 1) {
      const VF by = hn::Set(DF(), divisor);
      const hn::Rebind<std::uint8_t, DF> narrow;
      for (; i + N <= n; i += N) {
        const VF v = hn::Div(hn::LoadU(DF(), x + i), by);
        VI code = hn::Zero(DI());
        for (const float* t = thresholds; t != end; ++t) {
          const auto above = hn::VecFromMask(DF(), hn::Gt(v, hn::Set(DF(), *t)));
          code = hn::Sub(code, hn::BitCast(DI(), above));
        }
        hn::StoreU(hn::DemoteTo(narrow, code), narrow, codes + i);
      }
    }
    for (; i < n; ++i) {
      const float* at =
          std::lower_bound(static_cast<const float*>(thresholds), end, x[i] / divisor);
      codes[i] = static_cast<std::uint8_t>(at - thresholds);
    }
  }
};

/// Codes of n values with given scales and offsets: nearest even after a true division.
template <class Element, class Zero>
struct Encode {
  using Code = typename Element::storage_type;

  /// @param scales   one a group; a group of scale 0 gets codes of zero
  /// @param offsets  zero points or minima, one a group; null where the spec has neither
  /// @param ranges   of the groups, or null where they are not known; they save the clamping
  static void Groups(const float* x, std::size_t n, std::size_t group, const float* scales,
                     const float* offsets, const value_range* ranges, Code* codes) {
    if (n % group == 0 && AreBounded(n / group, scales, offsets, ranges)) {
      if (group % (4 * N) == 0) return WholeGroups(x, n, group, scales, offsets, codes);
    }
    for (std::size_t first = 0; first < n; first += group, ++scales) {
      const std::size_t size = std::min(group, n - first);
      const float offset = offsets != nullptr ? *offsets++ : 0.0f;
      const bool bounded = ranges != nullptr && IsBounded(*ranges++, *scales, offset);
      Run(x + first, size, *scales, offset, bounded, codes + first);
    }
  }

  /// @param bounded  all quotients round to codes
  static HWY_INLINE void Run(const float* x, std::size_t n, float scale, float offset, bool bounded,
                             Code* codes) {
    if (!(scale != 0.0f)) {
      std::fill_n(codes, n, Element::encode(0.0f));
      return;
    }
    if constexpr (EncodeHalf<Element>::kExists && std::is_same_v<Zero, no_zero>) {
      Halves(x, n, scale, codes);
    } else if constexpr (requires { Element::values; } && std::is_same_v<Zero, no_zero>) {
      EncodeSorted::Run(x, n, scale, Element::values, std::size(Element::values), codes);
    } else if constexpr (EncodeVector<Element>::kExists && N > 1) {
      const Quotients divider(scale);
      if (!divider.ByReciprocal()) {
        Vectors<false, true>(divider, x, n, offset, codes);
      } else if (bounded && EncodeVector<Element>::kSkipsClamp) {
        Vectors<true, !EncodeVector<Element>::kSkipsClamp>(divider, x, n, offset, codes);
      } else {
        Vectors<true, true>(divider, x, n, offset, codes);
      }
    } else {
      for (std::size_t i = 0; i < n; ++i) codes[i] = One(x[i], scale, offset);
    }
  }

  /// The scalar reference.
  static HWY_INLINE Code One(float value, float scale, float offset) {
    if constexpr (is_minimum<Zero>) {
      return Element::encode((value - offset) / scale);
    } else if constexpr (is_zero_point<Zero>) {
      const auto steps = round_to_code(value / scale, -0x1p22f, 0x1p22f);
      return Element::encode(static_cast<float>(steps) + offset);
    } else {
      return Element::encode(value / scale);
    }
  }

 private:
  using Quotients = std::conditional_t<integer_format<Element>, CodeDivider, Divider>;
  static_assert(!integer_format<Element> || Element::bits <= 8, "see CodeDivider");

  /// What rounds to a code, in units of the scale.
  static constexpr float kBelow = [] {
    if constexpr (integer_format<Element>) {
      return static_cast<float>(Element::min_code) - 0.49f;
    } else {
      return 0.0f;
    }
  }();
  static constexpr float kAbove = Element::max_finite + 0.49f;

  /// Whether groups can go the fast way: by reciprocals, and without clamping.
  static HWY_INLINE bool AreBounded(std::size_t groups, const float* scales, const float* offsets,
                                    const value_range* ranges) {
    if constexpr (!EncodeVector<Element>::kSkipsClamp || is_zero_point<Zero> || N == 1) {
      return false;
    } else {
      if (ranges == nullptr) return false;
      std::size_t g = 0;
      bool all = true;
      for (; g + N <= groups; g += N) {
        VF low, high;
        hn::LoadInterleaved2(DF(), &ranges[g].lowest, low, high);
        const VF scale = hn::LoadU(DF(), scales + g);
        if (offsets != nullptr) {
          const VF offset = hn::LoadU(DF(), offsets + g);
          low = hn::Sub(low, offset);
          high = hn::Sub(high, offset);
        }
        const auto within = hn::And(hn::Ge(low, hn::Mul(hn::Set(DF(), kBelow), scale)),
                                    hn::Le(high, hn::Mul(hn::Set(DF(), kAbove), scale)));
        all = all && hn::AllTrue(DF(), hn::And(within, Quotients::AreOrdinary(scale)));
      }
      for (; all && g < groups; ++g) {
        all = IsBounded(ranges[g], scales[g], offsets != nullptr ? offsets[g] : 0.0f) &&
              Quotients::IsOrdinary(scales[g]);
      }
      return all;
    }
  }

  /// Groups of whole steps that are all bounded.
  static HWY_INLINE void WholeGroups(const float* x, std::size_t n, std::size_t group,
                                     const float* scales, const float* offsets, Code* codes) {
    if constexpr (EncodeVector<Element>::kSkipsClamp && N > 1) {
      constexpr std::size_t kTogether = 64;
      float inverses[kTogether];
      for (std::size_t done = 0; done < n / group; done += kTogether) {
        const std::size_t count = std::min(kTogether, n / group - done);
        Invert(scales + done, count, inverses);
        for (std::size_t g = 0; g < count; ++g) {
          const Quotients divider(scales[done + g], inverses[g]);
          const VF offset = hn::Set(DF(), offsets != nullptr ? offsets[done + g] : 0.0f);
          const std::size_t first = (done + g) * group;
          for (std::size_t i = first; i < first + group; i += 4 * N) {
            Step<true, false>(divider, x + i, offset, codes + i);
          }
        }
      }
    }
  }

  /// Whether the quotients of a whole range round to codes; some room is left for roundings.
  static HWY_INLINE bool IsBounded(value_range range, float scale, float offset) {
    if constexpr (!integer_format<Element> || is_zero_point<Zero>) {
      return false;
    } else {
      const float low = range.lowest - offset;
      const float high = range.highest - offset;
      return scale > 0.0f && low >= kBelow * scale && high <= kAbove * scale;
    }
  }

  template <bool kReciprocal, bool kClamp>
  static HWY_INLINE VI Codes(const Quotients& divider, VF v, VF offset) {
    if constexpr (!integer_format<Element> && std::is_same_v<Zero, no_zero>) {
      // Floats have a negative zero, which is that of the value or of a quotient that rounds to it.
      const VF quotient = divider.template Divide<kReciprocal>(v);
      return EncodeVector<Element>::Run(hn::CopySign(quotient, divider.WithSign(v)));
    } else if constexpr (!kClamp) {
      if constexpr (is_minimum<Zero>) v = hn::Sub(v, offset);
      return EncodeVector<Element>::Unclamped(divider.template Divide<kReciprocal>(v));
    } else if constexpr (is_minimum<Zero>) {
      return EncodeVector<Element>::Run(divider.template Divide<kReciprocal>(hn::Sub(v, offset)));
    } else if constexpr (is_zero_point<Zero>) {
      const VF limit = hn::Set(DF(), 0x1p22f);
      const VF bounded =
          hn::Max(hn::Min(divider.template Divide<kReciprocal>(v), limit), hn::Neg(limit));
      const VF steps = hn::ConvertTo(DF(), RoundToInt(bounded));
      return EncodeVector<Element>::Run(hn::Add(steps, offset));
    } else {
      return EncodeVector<Element>::Run(divider.template Divide<kReciprocal>(v));
    }
  }

  static HWY_INLINE void Halves(const float* x, std::size_t n, float scale, Code* codes) {
    const VF divisor = hn::Set(DF(), scale);
    std::size_t i = 0;
    for (; i + N <= n; i += N) {
      // A scale of 1 is that of numbers stored as they are.
      const VF v = hn::LoadU(DF(), x + i);
      EncodeHalf<Element>::Run(scale == 1.0f ? v : hn::Div(v, divisor), codes + i);
    }
    for (; i < n; ++i) codes[i] = One(x[i], scale, 0.0f);
  }

  template <bool kReciprocal, bool kClamp>
  static HWY_INLINE void Vectors(const Quotients& divider, const float* x, std::size_t n,
                                 float zero_or_minimum, Code* codes) {
    const VF offset = hn::Set(DF(), zero_or_minimum);
    std::size_t i = 0;
    for (; i + 4 * N <= n; i += 4 * N) {
      Step<kReciprocal, kClamp>(divider, x + i, offset, codes + i);
    }
    if (i == n) return;
    alignas(64) float padded[4 * N] = {};
    Code tail[4 * N];
    std::memcpy(padded, x + i, (n - i) * sizeof(float));
    Step<kReciprocal, kClamp>(divider, padded, offset, tail);
    std::memcpy(codes + i, tail, (n - i) * sizeof(Code));
  }

  template <bool kReciprocal, bool kClamp>
  static HWY_INLINE void Step(const Quotients& divider, const float* x, VF offset, Code* codes) {
    const VI a = Codes<kReciprocal, kClamp>(divider, hn::LoadU(DF(), x), offset);
    const VI b = Codes<kReciprocal, kClamp>(divider, hn::LoadU(DF(), x + N), offset);
    const VI c = Codes<kReciprocal, kClamp>(divider, hn::LoadU(DF(), x + 2 * N), offset);
    const VI d = Codes<kReciprocal, kClamp>(divider, hn::LoadU(DF(), x + 3 * N), offset);
    StoreAsBytes(a, b, c, d, codes);
  }
};

/// Its codes are those of the format itself.
template <class Format, class Zero>
struct Encode<approximate<Format>, Zero> : Encode<Format, Zero> {};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
