// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Columns of a panel as floats, a vector of rows at a time.

#if defined(QOMPOSE_KERNELS_DECODE_PANEL_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_DECODE_PANEL_INL_HPP_
#undef QOMPOSE_KERNELS_DECODE_PANEL_INL_HPP_
#else
#define QOMPOSE_KERNELS_DECODE_PANEL_INL_HPP_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/kernels/decode-inl.hpp"
#include "qompose/kernels/fields-inl.hpp"
#include "qompose/kernels/halves-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Decodes units of panels of `Layout`: what codes stand for, times `kFactor`, before scale and
/// offset.
///
/// Formats with an integer image are widened from its bytes, other short ones looked up in
/// registers, as floats or as their upper halves, and 8-bit floats built from their fields;
/// whatever is left is looked up in memory.
template <class Layout>
class DecodePanel {
  using Element = typename Layout::element;
  using Code = typename Element::storage_type;
  static constexpr bool kIsPlain =
      Layout::width == code_width::half || Layout::width == code_width::single;
  static constexpr bool kIsImage = Layout::has_integers;
  static constexpr bool kIsHalves =
      !kIsPlain && !kIsImage && !Layout::is_learned && DecodeHalves<Element>::kExists;
  static constexpr bool kIsFields =
      !kIsPlain && !kIsImage && !kIsHalves && DecodeFields<Element>::kTakesTop;
  static constexpr bool kIsTable = !kIsPlain && !kIsImage && !kIsHalves && !kIsFields &&
                                   (!Layout::is_learned || Layout::is_shared);

 public:
  static constexpr float kFactor =
      kIsImage ? static_cast<float>(1 << integer_image<Element>::exponent) : 1.0f;
  /// Columns of a unit, and its bytes.
  static constexpr std::size_t kColumns = Layout::step;
  static constexpr std::size_t kBytes = Layout::step * Layout::column_bytes;

  /// @param codebooks  of the matrix; read here where all rows share one
  HWY_INLINE explicit DecodePanel(const float* codebooks) : table_(TableOf(codebooks)) {}

  /// Calls use(column, values) for the columns of a unit, in order, for one vector of rows.
  /// @param codebooks  of the panel's rows in this group, where the layout has them
  template <class Use>
  HWY_INLINE void Unit(const std::uint8_t* unit, std::size_t part, const float* codebooks,
                       Use&& use) const {
    if constexpr (kIsPlain) {
      Unroll<kColumns>([&](auto k) QOMPOSE_FLATTEN {
        use(k, LoadFloats<Element>(unit + (k * panel_rows + part * N) * kFormatBytes<Element>));
      });
    } else if constexpr (kIsTable && Element::bits == 4) {
      // Straight from the panel's words, each of them the codes of eight columns.
      const VI words = AsWords(LoadBytes(unit + part * 4 * N));
      Unroll<8>([&](auto k) QOMPOSE_FLATTEN {
        constexpr int kShift = 8 * (decltype(k)::value % 4) + 4 * (decltype(k)::value / 4);
        use(k, table_.template At<kShift>(words));
      });
    } else {
      Unroll<kColumns / 4>([&](auto quad) QOMPOSE_FLATTEN {
        const UBytes fields = Fields<Layout>::template Get<decltype(quad)::value>(unit, part);
        if constexpr (kIsHalves) {
          halves_.Quad(fields, [&](auto k, VF values) QOMPOSE_FLATTEN {
            use(std::integral_constant<std::size_t,
                                       decltype(quad)::value * 4 + decltype(k)::value>(),
                values);
          });
          return;
        }
        const VI words = AsWords(Integers(fields));
        Unroll<4>([&](auto k) QOMPOSE_FLATTEN {
          const std::integral_constant<std::size_t, decltype(quad)::value * 4 + decltype(k)::value>
              column;
          use(column, Values<decltype(k)::value>(words, part, codebooks));
        });
      });
    }
  }

 private:
  /// Fields to signed integers where the format has an image; as they are otherwise.
  static HWY_INLINE UBytes Integers(UBytes fields) {
    if constexpr (kIsImage) {
      return AddToBytes<integer_image<Element>::lowest>(Raise<Element>::Run(fields));
    } else {
      return fields;
    }
  }
  template <std::size_t k>
  HWY_INLINE VF Values(VI words, std::size_t part, const float* codebooks) const {
    constexpr int kLeft = 24 - 8 * static_cast<int>(k);
    if constexpr (kIsImage &&
                  integer_image<Element>::most_raised + integer_image<Element>::lowest > 127) {
      return hn::ConvertTo(DF(), Byte<k>(words));
    } else if constexpr (kIsImage) {
      return hn::ConvertTo(DF(), hn::ShiftRight<24>(hn::ShiftLeft<kLeft>(words)));
    } else if constexpr (kIsFields) {
      return DecodeFields<Element>::FromTop(hn::ShiftLeft<kLeft + 8 - Element::bits>(words));
    } else if constexpr (kIsTable) {
      return table_(Byte<k>(words));
    } else {
      constexpr auto kFloats = static_cast<std::int32_t>(Layout::codebook_floats);
      const VI row = hn::Iota(DI(), static_cast<std::int32_t>(part * N));
      const VI at = hn::Add(Byte<k>(words), hn::Mul(row, hn::Set(DI(), kFloats)));
      return hn::GatherIndex(DF(), codebooks, at);
    }
  }
  /// Byte k of each word.
  template <std::size_t k>
  static HWY_INLINE VI Byte(VI words) {
    const VI mask = hn::Set(DI(), 255);
    if constexpr (k == 0) return hn::And(words, mask);
    return hn::And(hn::ShiftRight<8 * static_cast<int>(k)>(words), mask);
  }

  static constexpr float kNoTable[2] = {};
  static HWY_INLINE const float* TableOf([[maybe_unused]] const float* codebooks) {
    if constexpr (kIsTable && Layout::is_shared) {
      return codebooks;
    } else if constexpr (kIsTable) {
      return kDecodeTable<Element>.data();
    } else {
      return kNoTable;
    }
  }
  LookUp<kIsTable ? Element::bits : 1> table_;
  DecodeHalves<std::conditional_t<kIsHalves, Element, void>> halves_;
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
