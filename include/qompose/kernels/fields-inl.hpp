// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Fields of a panel, unpacked in registers, and the small integers they stand for.

#if defined(QOMPOSE_KERNELS_FIELDS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_FIELDS_INL_HPP_
#undef QOMPOSE_KERNELS_FIELDS_INL_HPP_
#else
#define QOMPOSE_KERNELS_FIELDS_INL_HPP_
#endif

#include <cstddef>
#include <cstdint>

#include "qompose/kernels/simd-inl.hpp"
#include "qompose/packing/integer_image.hpp"
#include "qompose/packing/panels.hpp"
#include "qompose/packing/planes.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Fields of panels of `Layout`, four columns (a quad) of one vector of rows at a time.
template <class Layout>
struct Fields {
 private:
  using OnlyPlane =
      detail::field_plane<(Layout::element::bits < 8 ? Layout::element::bits : 8), 0, Layout::step>;

 public:
  static constexpr std::size_t kQuads = Layout::step / 4;
  static constexpr std::size_t kUnitBytes = Layout::step * Layout::column_bytes;

  /// Quad `quad` of a unit, for rows [part * N, part * N + N) of the panel; kIsOneBlock can move it
  /// up by kUp bits for nothing.
  template <std::size_t quad, int kUp = 0>
  static HWY_INLINE UBytes Get(const std::uint8_t* unit, std::size_t part) {
    const std::uint8_t* at = unit + part * 4 * N;
    return From<quad, kUp>([at](std::size_t block)
                               QOMPOSE_FLATTEN { return LoadBytes(at + block * 64); });
  }
  /// The same from what `load` makes of the number of a block of the unit.
  template <std::size_t quad, int kUp = 0, class Load>
  static HWY_INLINE UBytes From(Load&& load) {
    static_assert(kUp == 0 || kIsOneBlock);
    if constexpr (Layout::width == code_width::byte) {
      return load(quad);
    } else {
      constexpr int kBits = Layout::element::bits;
      constexpr int kFour = kBits & 4;
      constexpr int kTwo = kBits & 2;
      if constexpr (kBits == 4 || kBits == 2 || kBits == 1) {
        return Plane<detail::field_plane<kBits, 0, Layout::step>, quad, kUp>(load);
      } else if constexpr (kFour != 0 && kTwo != 0) {
        return OrBytes(Plane<detail::field_plane<4, 0, Layout::step>, quad>(load),
                       Plane<detail::field_plane<2, 4, Layout::step>, quad>(load));
      } else {
        return OrBytes(Plane<detail::field_plane<kFour + kTwo, 0, Layout::step>, quad>(load),
                       Plane<detail::field_plane<1, kFour + kTwo, Layout::step>, quad>(load));
      }
    }
  }

  /// Whether a unit is one block of bytes that hold nothing but its fields.
  static constexpr bool kIsOneBlock =
      Layout::width == code_width::planes &&
      (Layout::element::bits == 4 || Layout::element::bits == 2 || Layout::element::bits == 1);
  /// The first bit of the fields of a quad in their bytes.
  template <std::size_t quad>
  static constexpr int kPlace = OnlyPlane::shift(4 * quad);
  /// Fields of a quad where they lie in the block: times 2^kPlace. A mask is all that takes.
  template <std::size_t quad>
  static HWY_INLINE UBytes InPlace(UBytes block) {
    return ShiftAndMask<0, (OnlyPlane::mask << kPlace<quad>)>(block);
  }

 private:
  template <class P, std::size_t quad, int kUp = 0, class Load>
  static HWY_INLINE UBytes Plane(Load&& load) {
    static_assert(P::begin % 64 == 0);
    constexpr std::size_t kBlock = P::begin / 64 + 4 * quad / P::columns_a_block;
    constexpr int kPlaceUp = P::low_bit + kUp;
    return ShiftAndMask<P::shift(4 * quad) - kPlaceUp, P::mask << kPlaceUp>(load(kBlock));
  }
};

/// Fields to `raised` of integer_image.
template <class Element>
struct Raise {
  using Image = integer_image<Element>;
  static constexpr std::size_t kEntries = Element::bits <= 4 ? 16 : Element::bits == 5 ? 32 : 64;
  static HWY_INLINE UBytes Run(UBytes fields) {
    if constexpr (Image::is_field) {
      return fields;
    } else {
      return LookUpBytes<kEntries>(kTable, fields);
    }
  }

 private:
  struct Table {
    alignas(64) std::uint8_t entries[64] = {};
  };
  static constexpr Table kFilled = [] {
    Table table;
    if constexpr (!Image::is_field) {
      for (std::size_t i = 0; i < Image::table.size(); ++i) table.entries[i] = Image::table[i];
    }
    return table;
  }();
  static constexpr const std::uint8_t* kTable = kFilled.entries;
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
