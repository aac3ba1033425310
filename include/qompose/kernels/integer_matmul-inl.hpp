// SPDX-License-Identifier: Apache-2.0
// No #pragma once: compiled once per target.

/// @file
/// @brief Y = X W^T with integer weights and int8 activation codes, one scale a token.

#if defined(QOMPOSE_KERNELS_INTEGER_MATMUL_INL_HPP_) == defined(HWY_TARGET_TOGGLE)
#ifdef QOMPOSE_KERNELS_INTEGER_MATMUL_INL_HPP_
#undef QOMPOSE_KERNELS_INTEGER_MATMUL_INL_HPP_
#else
#define QOMPOSE_KERNELS_INTEGER_MATMUL_INL_HPP_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "qompose/kernels/arguments.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Integer dot products over panels.
///
/// Sums stay in int32 within a group; each group's sum is converted, multiplied by the group's
/// scale and added in float. A single group (one scale a row) is scaled once, by the product of
/// both scales, so that the result is exact up to that product.
///
/// For several tokens the fields of a stretch of columns are unpacked into L1 once and meet all
/// tiles of tokens there; for one token they are unpacked in registers.
template <class Layout>
struct IntegerMatmul {
  static constexpr bool kInteger = true;
  static constexpr bool kNibbles = Layout::width == code_width::nibble;
  static constexpr bool kHasOffset = Layout::has_offset;
  using ScaleFormat = typename Layout::scale_format;
  using OffsetFormat = typename Layout::offset_format;

  /// What every field of a panel is above the integer it stands for; the sums take it back.
  static constexpr int kCorrection = Layout::field_offset - (kNibbles ? 0 : kByteBias);

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static constexpr std::size_t kPanels = 2, kTokens = 8, kRowPanels = 4;
#elif HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  static constexpr std::size_t kPanels = 1, kTokens = 4, kRowPanels = 2;
#elif HWY_ARCH_ARM_A64
  static constexpr std::size_t kPanels = 1, kTokens = 4, kRowPanels = 1;
#else
  static constexpr std::size_t kPanels = 1, kTokens = 2, kRowPanels = 1;
#endif
  static constexpr std::size_t kV = kPanels * kParts;
  /// Columns unpacked at a time, and tokens whose sums are kept meanwhile.
  static constexpr std::size_t kColumns = 1024, kBlockTokens = 64;

  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return n_tokens == 1 ? 1 : kTokens;
  }

  /// Panels [first, last).
  static void Run(const detail::matmul_arguments& a, std::size_t first, std::size_t last) {
    std::size_t p = first;
    if (a.n_tokens == 1) {
      for (; p + kRowPanels <= last; p += kRowPanels) OneToken<kRowPanels>(a, p);
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
  /// y = value + bias for the rows of one vector.
  static HWY_INLINE void Finish(const detail::matmul_arguments& a, std::size_t token,
                                std::size_t row, VF value) {
    if (row >= a.geometry.rows) return;
    const std::size_t count = a.geometry.rows - row;
    if (a.bias != nullptr) value = hn::Add(value, LoadFirst(a.bias + row, count));
    StoreFirst(value, a.y + token * a.y_stride + row, count);
  }

  /// Dot products of one group of one token with n panels, unpacked in registers.
  template <std::size_t n>
  static HWY_INLINE void DotGroup(const std::uint8_t* w, std::size_t panel_bytes,
                                  const std::int8_t* x, std::size_t columns,
                                  VI (&sum)[n * kParts]) {
    if constexpr (kNibbles) {
      for (std::size_t k = 0; k < columns;) {
        const std::size_t stop = k + std::min(kPartialColumns, columns - k);
        Partial partial[n * kParts];
        Unroll<n * kParts>([&](auto v) QOMPOSE_FLATTEN { partial[v] = StartPartial(sum[v]); });
        for (; k < stop; k += 8, w += 64) {
          const Bytes low_x = Broadcast4(x + k);
          const Bytes high_x = Broadcast4(x + k + 4);
          Unroll<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
            const UBytes both = LoadBytes(w + (v / kParts) * panel_bytes + (v % kParts) * 4 * N);
            AddNibbles(partial[v], LowNibbles(both), low_x);
            AddNibbles(partial[v], HighNibbles(both), high_x);
          });
        }
        Unroll<n * kParts>([&](auto v)
                               QOMPOSE_FLATTEN { sum[v] = FlushPartial(sum[v], partial[v]); });
      }
    } else {
      for (std::size_t k = 0; k < columns; k += 4, w += 64) {
        const Bytes xs = Broadcast4(x + k);
        Unroll<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
          const UBytes bytes = LoadBytes(w + (v / kParts) * panel_bytes + (v % kParts) * 4 * N);
          AddBytes(sum[v], PrepareBytes(bytes), xs);
        });
      }
    }
  }

  template <std::size_t n>
  static HWY_INLINE void OneToken(const detail::matmul_arguments& a, std::size_t p) {
    const panel_geometry& geometry = a.geometry;
    const auto* x = reinterpret_cast<const std::int8_t*>(a.x.values);
    const std::size_t panel_bytes = geometry.padded_cols * Layout::column_bytes;
    const VF x_scale = hn::Set(DF(), a.x.scales[0]);

    VF total[n * kParts];
    Unroll<n * kParts>([&](auto v) QOMPOSE_FLATTEN { total[v] = hn::Zero(DF()); });
    for (std::size_t g = 0; g < geometry.groups; ++g) {
      const std::size_t k = g * geometry.group_stride;
      VI sum[n * kParts];
      Unroll<n * kParts>([&](auto v)
                             QOMPOSE_FLATTEN { sum[v] = hn::Set(DI(), a.x.corrections[g]); });
      DotGroup<n>(Codes(a, p, k), panel_bytes, x + k, GroupColumns(geometry, g), sum);
      Unroll<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
        const VF value = hn::ConvertTo(DF(), sum[v]);
        const VF scale = Scale(a, p + v / kParts, g, v % kParts);
        if (geometry.groups == 1) {
          total[v] = hn::Mul(value, hn::Mul(scale, x_scale));
        } else {
          total[v] = hn::MulAdd(value, scale, total[v]);
        }
        if constexpr (kHasOffset) {
          VF x_sum = hn::Set(DF(), a.x.sums[g]);
          if (geometry.groups == 1) x_sum = hn::Mul(x_sum, x_scale);
          total[v] = hn::MulAdd(Offset(a, p + v / kParts, g, v % kParts), x_sum, total[v]);
        }
      });
    }
    Unroll<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
      const VF value = geometry.groups == 1 ? total[v] : hn::Mul(total[v], x_scale);
      Finish(a, 0, (p + v / kParts) * panel_rows + (v % kParts) * N, value);
    });
  }

  /// The fields of columns [k, k + columns) of a panel, one byte each, [columns / 4][16 rows][4].
  static HWY_INLINE void Unpack(const std::uint8_t* w, std::size_t columns, std::uint8_t* fields) {
    for (std::size_t k = 0; k < columns; k += 8, w += 64, fields += 128) {
      Unroll<kParts>([&](auto i) QOMPOSE_FLATTEN {
        const UBytes both = LoadBytes(w + i * 4 * N);
        StoreBytes(LowNibbles(both), fields + i * 4 * N);
        StoreBytes(HighNibbles(both), fields + 64 + i * 4 * N);
      });
    }
  }

  /// Dot products of `columns` columns of n panels with a tile of kTokens tokens, added to `sum`.
  template <std::size_t n>
  static HWY_INLINE void DotTile(const std::uint8_t* w, std::size_t panel_bytes,
                                 const std::int8_t* x, std::size_t columns,
                                 VI (&sum)[kTokens][n * kParts]) {
    constexpr std::size_t kVectors = n * kParts;
    const auto load = [&](std::size_t v) QOMPOSE_FLATTEN {
      return LoadBytes(w + (v / kParts) * panel_bytes + (v % kParts) * 4 * N);
    };
    if constexpr (kNibbles) {
      for (std::size_t k = 0; k < columns;) {
        const std::size_t stop = k + std::min(kPartialColumns, columns - k);
        Partial partial[kTokens][kVectors];
        Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
          Unroll<kVectors>([&](auto v)
                               QOMPOSE_FLATTEN { partial[m][v] = StartPartial(sum[m][v]); });
        });
        for (; k < stop; k += 4, w += 64, x += 4 * kTokens) {
          UBytes fields[kVectors];
          Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN { fields[v] = load(v); });
          Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
            const Bytes xs = Broadcast4(x + 4 * m);
            Unroll<kVectors>([&](auto v)
                                 QOMPOSE_FLATTEN { AddNibbles(partial[m][v], fields[v], xs); });
          });
        }
        Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
          Unroll<kVectors>(
              [&](auto v) QOMPOSE_FLATTEN { sum[m][v] = FlushPartial(sum[m][v], partial[m][v]); });
        });
      }
    } else {
      for (std::size_t k = 0; k < columns; k += 4, w += 64, x += 4 * kTokens) {
        ByteOperand operand[kVectors];
        Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN { operand[v] = PrepareBytes(load(v)); });
        Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
          const Bytes xs = Broadcast4(x + 4 * m);
          Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN { AddBytes(sum[m][v], operand[v], xs); });
        });
      }
    }
  }

  /// Sums of a block of tokens between stretches of columns.
  template <std::size_t n>
  struct Sums {
    alignas(64) std::int32_t integer[kBlockTokens][n * panel_rows];
    alignas(64) float scaled[kBlockTokens][n * panel_rows];
  };

  /// One tile of tokens over columns [k, k + columns), which may start or end inside a group.
  template <std::size_t n>
  static HWY_INLINE void Tile(const detail::matmul_arguments& a, std::size_t p, std::size_t tile,
                              std::size_t k, std::size_t columns, const std::uint8_t* w,
                              std::size_t panel_bytes, std::int32_t* integer, float* scaled) {
    constexpr std::size_t kVectors = n * kParts;
    const panel_geometry& geometry = a.geometry;
    const auto* x =
        reinterpret_cast<const std::int8_t*>(a.x.values) + tile * kTokens * geometry.padded_cols;
    for (const std::size_t end = k + columns; k < end;) {
      const std::size_t g = k / geometry.group_stride;
      const std::size_t group_begin = g * geometry.group_stride;
      const std::size_t group_end = group_begin + GroupColumns(geometry, g);
      const std::size_t stop = std::min(end, group_end);
      const std::int32_t* corrections = a.x.corrections + (tile * geometry.groups + g) * kTokens;

      VI sum[kTokens][kVectors];
      Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
        const VI start = hn::Set(DI(), corrections[m]);
        Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
          sum[m][v] =
              k == group_begin ? start : hn::LoadU(DI(), integer + m * n * panel_rows + v * N);
        });
      });
      DotTile<n>(w, panel_bytes, x + k * kTokens, stop - k, sum);
      w += (stop - k) * 16;
      k = stop;

      if (stop < group_end) {
        Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
          Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
            hn::StoreU(sum[m][v], DI(), integer + m * n * panel_rows + v * N);
          });
        });
        continue;
      }
      Unroll<kVectors>([&](auto v) QOMPOSE_FLATTEN {
        const VF scale =
            geometry.groups == 1 ? hn::Set(DF(), 1.0f) : Scale(a, p + v / kParts, g, v % kParts);
        Unroll<kTokens>([&](auto m) QOMPOSE_FLATTEN {
          float* at = scaled + m * n * panel_rows + v * N;
          const VF value = hn::ConvertTo(DF(), sum[m][v]);
          VF total = g == 0 ? hn::Mul(value, scale) : hn::MulAdd(value, scale, hn::LoadU(DF(), at));
          if constexpr (kHasOffset) {
            if (geometry.groups > 1) {
              const VF x_sum = hn::Set(DF(), a.x.sums[(tile * geometry.groups + g) * kTokens + m]);
              total = hn::MulAdd(Offset(a, p + v / kParts, g, v % kParts), x_sum, total);
            }
          }
          hn::StoreU(total, DF(), at);
        });
      });
    }
  }

  /// Applies the activations' scales (and a single group's) and writes y.
  template <std::size_t n>
  static HWY_INLINE void FinishToken(const detail::matmul_arguments& a, std::size_t p,
                                     std::size_t token, const float* scaled) {
    const VF x_scale = hn::Set(DF(), a.x.scales[token]);
    Unroll<n * kParts>([&](auto v) QOMPOSE_FLATTEN {
      VF value = hn::LoadU(DF(), scaled + v * N);
      if (a.geometry.groups == 1) {
        value = hn::Mul(value, hn::Mul(Scale(a, p + v / kParts, 0, v % kParts), x_scale));
        if constexpr (kHasOffset) {
          const VF x_sum = hn::Mul(hn::Set(DF(), a.x.sums[token]), x_scale);
          value = hn::MulAdd(Offset(a, p + v / kParts, 0, v % kParts), x_sum, value);
        }
      } else {
        value = hn::Mul(value, x_scale);
      }
      Finish(a, token, (p + v / kParts) * panel_rows + (v % kParts) * N, value);
    });
  }

  template <std::size_t n>
  static HWY_NOINLINE void ManyTokens(const detail::matmul_arguments& a, std::size_t p) {
    const panel_geometry& geometry = a.geometry;
    alignas(64) std::uint8_t fields[kNibbles ? n * kColumns * panel_rows : 1];
    Sums<n> sums;
    for (std::size_t t0 = 0; t0 < a.n_tokens; t0 += kBlockTokens) {
      const std::size_t tokens = std::min(kBlockTokens, a.n_tokens - t0);
      for (std::size_t k = 0; k < geometry.padded_cols; k += kColumns) {
        const std::size_t columns = std::min(kColumns, geometry.padded_cols - k);
        const std::uint8_t* w = Codes(a, p, k);
        std::size_t panel_bytes = geometry.padded_cols * Layout::column_bytes;
        if constexpr (kNibbles) {
          for (std::size_t j = 0; j < n; ++j) {
            Unpack(w + j * panel_bytes, columns, fields + j * columns * panel_rows);
          }
          w = fields;
          panel_bytes = columns * panel_rows;
        }
        for (std::size_t t = 0; t < tokens; t += kTokens) {
          Tile<n>(a, p, (t0 + t) / kTokens, k, columns, w, panel_bytes, sums.integer[t],
                  sums.scaled[t]);
        }
      }
      for (std::size_t t = 0; t < tokens; ++t) FinishToken<n>(a, p, t0 + t, sums.scaled[t]);
    }
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace QOMPOSE_ISA
}  // namespace qompose
QOMPOSE_AFTER_NAMESPACE();

#endif  // toggle
