// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Float products of attention: rows of queries or weights meet columns of a panel.

#if defined(QOMPOSE_KERNELS_ATTENTION_FLOATS_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_ATTENTION_FLOATS_INL_HPP_
#undef QOMPOSE_KERNELS_ATTENTION_FLOATS_INL_HPP_
#else
#define QOMPOSE_KERNELS_ATTENTION_FLOATS_INL_HPP_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "qompose/kernels/decode_panel-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"
#include "qompose/packing/cache_block.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Rows that have a sum in registers for every lane of a panel.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
constexpr std::size_t kFloatRows = 12;
#elif (HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2) || HWY_ARCH_ARM_A64
constexpr std::size_t kFloatRows = 6;
#else
constexpr std::size_t kFloatRows = 2;
#endif

/// Panels of `Codes` as floats, [columns][16], scales not applied.
template <class Codes>
struct FloatPanel {
  using Element = typename Codes::element;
  static constexpr bool kPlain = detail::is_plain_float<Element>;
  /// Whether products take panels as they lie in memory.
  static constexpr bool kInPlace = std::is_same_v<Element, fp32>;

  /// @param entries  of a codebook that all tokens share, or null
  HWY_INLINE explicit FloatPanel(const float* entries) : decode_(entries) {}

  /// Columns [0, columns) of a panel, a multiple of the step.
  HWY_INLINE void Decode(const std::uint8_t* panel, std::size_t columns, float* out) const {
    for (std::size_t k = 0; k < columns; k += Codes::step) {
      Unroll<kParts>([&](auto part) QOMPOSE_FLATTEN {
        decode_.Unit(panel + k * Codes::column_bytes, part, nullptr,
                     [&](auto column, VF values) QOMPOSE_FLATTEN {
                       hn::StoreU(values, DF(), out + (k + column) * panel_rows + part * N);
                     });
      });
    }
  }
  /// What Decode makes has to be divided by it.
  static constexpr float kFactor = DecodePanel<Codes>::kFactor;

 private:
  DecodePanel<Codes> decode_;
};

/// How products read columns of a panel: floats, or halves that are widened on the way.
struct FloatColumns {
  const float* panel;
  HWY_INLINE VF operator()(std::size_t column, std::size_t part) const {
    return hn::LoadU(DF(), panel + column * panel_rows + part * N);
  }
};
template <class Format>
struct HalfColumns {
  const std::uint8_t* panel;
  HWY_INLINE VF operator()(std::size_t column, std::size_t part) const {
    return LoadFloats<Format>(panel + (column * panel_rows + part * N) * kFormatBytes<Format>);
  }
};

/// sum += a * b
HWY_INLINE void AddProduct(VF& sum, VF a, VF b) {
#if HWY_TARGET == HWY_AVX2 && HWY_COMPILER_GCC_ACTUAL
  // g++ moves broadcasts forward until there are more values than registers, and then keeps a sum
  // in memory, for which all products wait.
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum.raw) : "x"(a.raw), "x"(b.raw));
#else
  sum = hn::MulAdd(a, b, sum);
#endif
}

/// finish(row, part, sum over columns of a[row][column] column[16]) for `rows` rows.
template <std::size_t rows, class Columns, class Finish>
HWY_INLINE void MultiplyRows(const float* HWY_RESTRICT a, std::size_t a_stride, const Columns& load,
                             std::size_t columns, Finish&& finish) {
  // Few sums are split into chains that do not wait for each other.
  constexpr std::size_t kChains = rows * kParts >= 8 ? 1 : rows * kParts >= 4 ? 2 : 4;
  VF sum[kChains][rows][kParts];
  Each<kChains>([&](auto c) QOMPOSE_FLATTEN {
    Each<rows>([&](auto r) QOMPOSE_FLATTEN {
      Each<kParts>([&](auto part) QOMPOSE_FLATTEN { sum[c][r][part] = hn::Zero(DF()); });
    });
  });
  const auto add = [&](auto c, std::size_t k) QOMPOSE_FLATTEN {
    VF b[kParts];
    Each<kParts>([&](auto part) QOMPOSE_FLATTEN { b[part] = load(k, part); });
    Each<rows>([&](auto r) QOMPOSE_FLATTEN {
      const VF as = hn::Set(DF(), a[r * a_stride + k]);
      Each<kParts>([&](auto part) QOMPOSE_FLATTEN { AddProduct(sum[c][r][part], as, b[part]); });
    });
  };
  // Columns come in multiples of eight.
  for (std::size_t k = 0; k < columns; k += 4) {
    Unroll<4>([&](auto j) QOMPOSE_FLATTEN {
      add(std::integral_constant<std::size_t, decltype(j)::value % kChains>(), k + j);
    });
  }
  Each<rows>([&](auto r) QOMPOSE_FLATTEN {
    Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
      Unroll<kChains>([&](auto c) QOMPOSE_FLATTEN {
        if constexpr (decltype(c)::value > 0) {
          sum[0][r][part] = hn::Add(sum[0][r][part], sum[c][r][part]);
        }
      });
      finish(r, part, sum[0][r][part]);
    });
  });
}

/// The same for any number of rows: finish(row, part, sum).
template <std::size_t most = kFloatRows, class Columns, class Finish>
HWY_INLINE void MultiplyAllRows(const float* a, std::size_t a_stride, const Columns& load,
                                std::size_t columns, std::size_t rows, Finish&& finish,
                                std::size_t first = 0) {
  for (; first + most <= rows; first += most) {
    MultiplyRows<most>(a + first * a_stride, a_stride, load, columns,
                       [&](std::size_t r, std::size_t part, VF sum)
                           QOMPOSE_FLATTEN { finish(first + r, part, sum); });
  }
  if constexpr (most > 1) {
    if (first == rows) return;
    constexpr std::size_t kNext = most > 8 ? 8 : most > 4 ? 4 : most / 2;
    MultiplyAllRows<kNext>(a, a_stride, load, columns, rows, finish, first);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
