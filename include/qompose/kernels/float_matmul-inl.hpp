// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Y = X W^T with float activations and weights of any format, decoded on the way.

#if defined(QOMPOSE_KERNELS_FLOAT_MATMUL_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_FLOAT_MATMUL_INL_HPP_
#undef QOMPOSE_KERNELS_FLOAT_MATMUL_INL_HPP_
#else
#define QOMPOSE_KERNELS_FLOAT_MATMUL_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/decode-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Float dot products over panels.
///
/// For several tokens a stretch of columns is decoded into L1 once, scales and offsets applied, and
/// meets all tiles of tokens there; for one token codes are decoded in registers and each group's
/// sum is scaled.
template <class Layout>
struct FloatMatmul {
  static constexpr bool kInteger = false;
  using Element = typename Layout::element;
  using ScaleFormat = typename Layout::scale_format;
  using OffsetFormat = typename Layout::offset_format;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static constexpr std::size_t kPanels = 2, kTokens = 8;
#elif HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  static constexpr std::size_t kPanels = 1, kTokens = 6;
#elif HWY_ARCH_ARM_A64
  static constexpr std::size_t kPanels = 1, kTokens = 4;
#else
  static constexpr std::size_t kPanels = 1, kTokens = 2;
#endif
  static constexpr std::size_t kColumns = 256, kBlockTokens = 48;
  static_assert(kBlockTokens % kTokens == 0);

  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return n_tokens == 1 ? 1 : kTokens;
  }

  /// Panels [first, last).
  static void Run(const detail::matmul_arguments& a, std::size_t first, std::size_t last) {
    std::size_t p = first;
    if (a.n_tokens == 1) {
      for (; p + 2 <= last; p += 2) OneToken<2>(a, p);
      for (; p < last; ++p) OneToken<1>(a, p);
    } else {
      for (; p + kPanels <= last; p += kPanels) ManyTokens<kPanels>(a, p);
      for (; p < last; ++p) ManyTokens<1>(a, p);
    }
  }

 private:
  static HWY_INLINE const std::uint8_t* Codes(const detail::matmul_arguments& a, std::size_t p,
                                              std::size_t k) {
    return a.weights.codes + (p * a.geometry.padded_cols + k) * Layout::column_bytes;
  }
  static HWY_INLINE VF Scale(const detail::matmul_arguments& a, std::size_t p, std::size_t g,
                             std::size_t part) {
    const std::size_t at = (p * a.geometry.groups + g) * panel_rows + part * N;
    return LoadFloats<ScaleFormat>(a.weights.scales + at * kFormatBytes<ScaleFormat>);
  }
  static HWY_INLINE VF Offset(const detail::matmul_arguments& a, std::size_t p, std::size_t g,
                              std::size_t part) {
    const std::size_t at = (p * a.geometry.groups + g) * panel_rows + part * N;
    return LoadFloats<OffsetFormat>(a.weights.offsets + at * kFormatBytes<OffsetFormat>);
  }
  static HWY_INLINE std::size_t GroupColumns(const panel_geometry& geometry, std::size_t g) {
    return std::min(geometry.group_stride, geometry.padded_cols - g * geometry.group_stride);
  }
  static HWY_INLINE void Finish(const detail::matmul_arguments& a, std::size_t token,
                                std::size_t row, VF value) {
    if (row >= a.geometry.rows) return;
    const std::size_t count = a.geometry.rows - row;
    if (a.bias != nullptr) value = hn::Add(value, LoadFirst(a.bias + row, count));
    StoreFirst(value, a.y + token * a.y_stride + row, count);
  }

  /// The codebooks of group g of a panel's rows, where the layout has them.
  static HWY_INLINE const float* Codebooks(const detail::matmul_arguments& a, std::size_t p,
                                           std::size_t g) {
    if constexpr (Layout::is_learned && !Layout::is_shared) {
      const std::size_t book = (p * a.geometry.groups + g) * panel_rows;
      return a.weights.codebooks + book * Layout::codebook_floats;
    } else {
      return a.weights.codebooks;
    }
  }
  /// Values of codes in 32-bit lanes: of the format's table, or of each row's codebook.
  static HWY_INLINE VF LookUpCodes(VI code, std::size_t part, const float* codebooks) {
    if constexpr (!Layout::is_learned) {
      return hn::GatherIndex(DF(), kDecodeTable<Element>.data(), code);
    } else if constexpr (Layout::is_shared) {
      return hn::GatherIndex(DF(), codebooks, code);
    } else {
      constexpr auto kFloats = static_cast<std::int32_t>(Layout::codebook_floats);
      const VI row = hn::Iota(DI(), static_cast<std::int32_t>(part * N));
      return hn::GatherIndex(DF(), codebooks, hn::Add(code, hn::Mul(row, hn::Set(DI(), kFloats))));
    }
  }

  /// Calls use(column 0 .. 7, values) for eight columns of one vector of rows; no scale applied.
  template <class Use>
  static HWY_INLINE void Decode(const std::uint8_t* w, std::size_t part, const float* codebooks,
                                Use&& use) {
    if constexpr (Layout::width == code_width::nibble) {
      const VI fields = hn::LoadU(DI(), reinterpret_cast<const std::int32_t*>(w + part * 4 * N));
      const VI mask = hn::Set(DI(), 15);
      const VI offset = hn::Set(DI(), Layout::field_offset);
      Unroll<8>([&](auto k) QOMPOSE_FLATTEN {
        constexpr int kShift = 8 * (decltype(k)::value % 4) + 4 * (decltype(k)::value / 4);
        const VI field = hn::And(hn::ShiftRight<kShift>(fields), mask);
        use(k, hn::ConvertTo(DF(), hn::Add(field, offset)));
      });
    } else if constexpr (Layout::width == code_width::byte) {
      Unroll<2>([&](auto half) QOMPOSE_FLATTEN {
        const VI fields =
            hn::LoadU(DI(), reinterpret_cast<const std::int32_t*>(w + half * 64 + part * 4 * N));
        Unroll<4>([&](auto k) QOMPOSE_FLATTEN {
          constexpr int kLeft = 24 - 8 * static_cast<int>(decltype(k)::value);
          const VI top = hn::ShiftLeft<kLeft>(fields);
          const std::integral_constant<std::size_t, decltype(half)::value * 4 + decltype(k)::value>
              column;
          if constexpr (Layout::is_integer) {
            const VI offset = hn::Set(DI(), Layout::field_offset);
            use(column, hn::ConvertTo(DF(), hn::Add(hn::ShiftRight<24>(top), offset)));
          } else {
            const VI code = hn::And(hn::ShiftRight<24>(top), hn::Set(DI(), 255));
            use(column, LookUpCodes(code, part, codebooks));
          }
        });
      });
    } else {
      Unroll<8>([&](auto k) QOMPOSE_FLATTEN {
        use(k, LoadFloats<Element>(w + (k * panel_rows + part * N) * kFormatBytes<Element>));
      });
    }
  }

  template <std::size_t n>
  static HWY_NOINLINE void OneToken(const detail::matmul_arguments& a, std::size_t p) {
    constexpr std::size_t kVectors = n * kParts;
    // Sums of even and odd columns apart, so that additions do not wait for each other.
    constexpr std::size_t kChains = kVectors <= 4 ? 2 : 1;
    const panel_geometry& geometry = a.geometry;
    const auto* x = reinterpret_cast<const float*>(a.x.values);
    const std::size_t panel_bytes = geometry.padded_cols * Layout::column_bytes;

    VF total[kVectors];
    Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN { total[v] = hn::Zero(DF()); });
    for (std::size_t g = 0; g < geometry.groups; ++g) {
      const std::size_t begin = g * geometry.group_stride;
      const std::size_t end = begin + GroupColumns(geometry, g);
      const std::uint8_t* w = Codes(a, p, begin);
      VF sum[kChains][kVectors];
      VF x_sum = hn::Zero(DF());
      Unroll<kChains>([&](auto c) QOMPOSE_FLATTEN {
        Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN { sum[c][v] = hn::Zero(DF()); });
      });
      for (std::size_t k = begin; k < end; k += 8, w += 8 * Layout::column_bytes) {
        Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
          Decode(w + (v / kParts) * panel_bytes, v % kParts, Codebooks(a, p + v / kParts, g),
                 [&](auto column, VF values) QOMPOSE_FLATTEN {
                   VF& s = sum[decltype(column)::value % kChains][v];
                   s = hn::MulAdd(values, hn::Set(DF(), x[k + column]), s);
                 });
        });
        if constexpr (Layout::has_offset) {
          Unroll<8>([&](auto column)
                        QOMPOSE_FLATTEN { x_sum = hn::Add(x_sum, hn::Set(DF(), x[k + column])); });
        }
      }
      Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
        VF value = sum[0][v];
        if constexpr (kChains == 2) value = hn::Add(value, sum[1][v]);
        if constexpr (Layout::is_scaled) {
          total[v] = hn::MulAdd(value, Scale(a, p + v / kParts, g, v % kParts), total[v]);
        } else if constexpr (Layout::is_learned) {
          total[v] = hn::Add(total[v], value);
        } else {
          total[v] = value;
        }
        if constexpr (Layout::has_offset) {
          total[v] = hn::MulAdd(Offset(a, p + v / kParts, g, v % kParts), x_sum, total[v]);
        }
      });
    }
    Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
      Finish(a, 0, (p + v / kParts) * panel_rows + (v % kParts) * N, total[v]);
    });
  }

  /// Decodes columns [k, k + columns) of a panel to [columns][16 rows], scales and offsets applied.
  static HWY_INLINE void DecodeColumns(const detail::matmul_arguments& a, std::size_t p,
                                       std::size_t k, std::size_t columns, float* out) {
    for (const std::size_t end = k + columns; k < end; k += 8, out += 8 * panel_rows) {
      const std::size_t g = k / a.geometry.group_stride;
      Unroll<kParts>([&](auto part) QOMPOSE_FLATTEN {
        VF scale = hn::Set(DF(), 1.0f);
        VF offset = hn::Zero(DF());
        if constexpr (Layout::is_scaled) scale = Scale(a, p, g, part);
        if constexpr (Layout::has_offset) offset = Offset(a, p, g, part);
        Decode(Codes(a, p, k), part, Codebooks(a, p, g),
               [&](auto column, VF values) QOMPOSE_FLATTEN {
                 if constexpr (Layout::has_offset) {
                   values = hn::MulAdd(values, scale, offset);
                 } else if constexpr (Layout::is_scaled) {
                   values = hn::Mul(values, scale);
                 }
                 hn::StoreU(values, DF(), out + column * panel_rows + part * N);
               });
      });
    }
  }

  template <std::size_t n>
  static HWY_INLINE void Tile(const float* w, std::size_t panel_floats, const float* x,
                              std::size_t columns, float* sums, bool first) {
    constexpr std::size_t kVectors = n * kParts;
    VF sum[kTokens][kVectors];
    Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
      Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
        sum[m][v] = first ? hn::Zero(DF()) : hn::LoadU(DF(), sums + m * n * panel_rows + v * N);
      });
    });
    for (std::size_t k = 0; k < columns; ++k, w += panel_rows, x += kTokens) {
      VF values[kVectors];
      Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
        values[v] = hn::LoadU(DF(), w + (v / kParts) * panel_floats + (v % kParts) * N);
      });
      Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
        const VF xs = hn::Set(DF(), x[m]);
        Unroll<kVectors>([&](auto v)
                             QOMPOSE_FLATTEN { sum[m][v] = hn::MulAdd(values[v], xs, sum[m][v]); });
      });
    }
    Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
      Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
        hn::StoreU(sum[m][v], DF(), sums + m * n * panel_rows + v * N);
      });
    });
  }

  template <std::size_t n>
  static HWY_NOINLINE void ManyTokens(const detail::matmul_arguments& a, std::size_t p) {
    constexpr bool kDecoded = std::is_same_v<Element, fp32> && !Layout::is_scaled;
    const panel_geometry& geometry = a.geometry;
    alignas(64) float decoded[kDecoded ? 1 : n * kColumns * panel_rows];
    alignas(64) float sums[kBlockTokens][n * panel_rows];
    const auto* x = reinterpret_cast<const float*>(a.x.values);
    for (std::size_t t0 = 0; t0 < a.n_tokens; t0 += kBlockTokens) {
      const std::size_t tokens = std::min(kBlockTokens, a.n_tokens - t0);
      for (std::size_t k = 0; k < geometry.padded_cols; k += kColumns) {
        const std::size_t columns = std::min(kColumns, geometry.padded_cols - k);
        const float* w = decoded;
        std::size_t panel_floats = columns * panel_rows;
        if constexpr (kDecoded) {
          w = reinterpret_cast<const float*>(Codes(a, p, k));
          panel_floats = geometry.padded_cols * panel_rows;
        } else {
          for (std::size_t j = 0; j < n; ++j) {
            DecodeColumns(a, p + j, k, columns, decoded + j * columns * panel_rows);
          }
        }
        for (std::size_t t = 0; t < tokens; t += kTokens) {
          const float* tile = x + (t0 + t) / kTokens * kTokens * geometry.padded_cols;
          Tile<n>(w, panel_floats, tile + k * kTokens, columns, sums[t], k == 0);
        }
      }
      for (std::size_t t = 0; t < tokens; ++t) {
        Unroll<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
          Finish(a, t0 + t, (p + v / kParts) * panel_rows + (v % kParts) * N,
                 hn::LoadU(DF(), sums[t] + v * N));
        });
      }
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
