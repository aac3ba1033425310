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
#include "qompose/kernels/codebook_rows-inl.hpp"
#include "qompose/kernels/decode_panel-inl.hpp"
#include "qompose/kernels/panel_access-inl.hpp"
#include "qompose/kernels/simd-inl.hpp"

QOMPOSE_BEFORE_NAMESPACE();
namespace qompose {
inline namespace QOMPOSE_ISA {
namespace HWY_NAMESPACE {

/// Float dot products over panels.
///
/// For several tokens a stretch of columns is decoded into L1 once, scales and offsets applied, and
/// meets all tiles of a block of tokens there; for one token codes are decoded in registers and
/// each group's sum is scaled.
template <class Layout>
struct FloatMatmul : PanelAccess<Layout> {
  using Access = PanelAccess<Layout>;
  using Arguments = detail::matmul_arguments;
  using Element = typename Layout::element;
  using Decoder = DecodePanel<Layout>;
  using Rows = CodebookRows<Layout>;

  static constexpr bool kInteger = false;
  static constexpr std::size_t kDigits = 1;

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3
  static constexpr std::size_t kPanels = 2, kTokens = 8, kBlockTokens = 192;
#elif HWY_ARCH_X86 && HWY_TARGET == HWY_AVX2
  static constexpr std::size_t kPanels = 1, kTokens = 6, kBlockTokens = 96;
#elif HWY_ARCH_ARM_A64
  static constexpr std::size_t kPanels = 1, kTokens = 4, kBlockTokens = 96;
#else
  static constexpr std::size_t kPanels = 1, kTokens = 2, kBlockTokens = 96;
#endif
  /// Columns decoded at a time, which kBlockTokens tokens meet, and panels that share a block's
  /// activations.
  static constexpr std::size_t kColumns = 256, kBlockPanels = 8;
  static_assert(kBlockTokens % kTokens == 0 && kBlockPanels % kPanels == 0);

  static constexpr std::size_t TileTokens(std::size_t n_tokens) {
    return n_tokens == 1 ? 1 : kTokens;
  }

  /// Panels [first, last).
  static void Run(const Arguments& a, std::size_t first, std::size_t last) {
    if (a.n_tokens == 1) {
      for (std::size_t p = first; p < last; ++p) {
        if constexpr (Rows::kExists) {
          OneTokenByRows(a, p);
        } else {
          OneToken(a, p);
        }
      }
    } else {
      for (std::size_t p = first; p < last; p += kBlockPanels) {
        for (std::size_t t = 0; t < a.n_tokens; t += kBlockTokens) {
          Block(a, p, std::min(p + kBlockPanels, last), t);
        }
      }
    }
  }

 private:
  static HWY_INLINE VF Scale(const Arguments& a, std::size_t p, std::size_t g, std::size_t part) {
    const VF scale = Access::Scale(a, p, g, part);
    if constexpr (Decoder::kFactor == 1.0f) return scale;
    return hn::Mul(scale, hn::Set(DF(), 1.0f / Decoder::kFactor));
  }

  static HWY_NOINLINE void OneToken(const Arguments& a, std::size_t p) {
    constexpr std::size_t kV = kParts;
    // Sums of every kChains-th column, so that additions do not wait for each other.
    constexpr std::size_t kChains = kV < 4 ? 4 / kV : 1;
    const Decoder decoder(a.weights.codebooks);
    const auto* x = reinterpret_cast<const float*>(a.x.values);

    VF total[kV];
    Each<kV>([&](auto v) QOMPOSE_FLATTEN { total[v] = hn::Zero(DF()); });
    for (std::size_t g = 0; g < a.geometry.groups; ++g) {
      const std::size_t begin = g * a.geometry.group_stride;
      const std::size_t end = begin + Access::GroupColumns(a, g);
      const std::uint8_t* w = Access::Codes(a, p, begin, g);
      VF sum[kChains][kV];
      VF x_sum = hn::Zero(DF());
      Each<kChains>([&](auto c) QOMPOSE_FLATTEN {
        Each<kV>([&](auto v) QOMPOSE_FLATTEN { sum[c][v] = hn::Zero(DF()); });
      });
      for (std::size_t k = begin; k < end; k += Decoder::kColumns, w += Decoder::kBytes) {
        AskAhead<Decoder::kBytes>(w);
        Each<kV>([&](auto v) QOMPOSE_FLATTEN {
          decoder.Unit(w, v, Access::Codebooks(a, p, g),
                       [&](auto column, VF values) QOMPOSE_FLATTEN {
                         VF& s = sum[decltype(column)::value % kChains][v];
                         s = hn::MulAdd(values, hn::Set(DF(), x[k + column]), s);
                       });
        });
        if constexpr (Layout::has_offset) {
          for (std::size_t column = 0; column < Decoder::kColumns; ++column) {
            x_sum = hn::Add(x_sum, hn::Set(DF(), x[k + column]));
          }
        }
      }
      Each<kV>([&](auto v) QOMPOSE_FLATTEN {
        VF value = sum[0][v];
        Unroll<kChains>([&](auto c) QOMPOSE_FLATTEN {
          if constexpr (c > 0) value = hn::Add(value, sum[c][v]);
        });
        if constexpr (Layout::is_scaled) {
          total[v] = hn::MulAdd(value, Scale(a, p, g, v), total[v]);
        } else {
          total[v] = hn::Add(total[v], value);
        }
        if constexpr (Layout::has_offset) {
          total[v] = hn::MulAdd(Access::Offset(a, p, g, v), x_sum, total[v]);
        }
      });
    }
    Each<kV>([&](auto v) QOMPOSE_FLATTEN {
      VF value = total[v];
      if constexpr (Layout::has_row_scales) {
        value = hn::Mul(value, Access::RowScale(a, p, v));
      }
      Access::Finish(a, 0, p * panel_rows + v * N, value);
    });
  }

  /// The same where every row has tables of its own, which leave nothing to scale.
  static HWY_NOINLINE void OneTokenByRows(const Arguments& a, std::size_t p) {
    static_assert(!Rows::kExists || (!Layout::is_scaled && !Layout::has_offset));
    const auto* x = reinterpret_cast<const float*>(a.x.values);
    alignas(64) float sums[panel_rows * N] = {};
    for (std::size_t g = 0; g < a.geometry.groups; ++g) {
      std::size_t k = g * a.geometry.group_stride;
      const float* codebooks = Access::Codebooks(a, p, g);
      AskAhead<panel_rows * Layout::codebook_floats * sizeof(float)>(
          reinterpret_cast<const std::uint8_t*>(codebooks));
      for (const std::size_t end = k + Access::GroupColumns(a, g); k < end;) {
        const std::size_t columns = std::min(Rows::kMostColumns, end - k);
        const float* numbers = x + k;
        alignas(64) float padded[Rows::kMostColumns];
        if (columns % N != 0) {
          numbers = std::copy_n(x + k, columns, padded) - columns;
          std::fill_n(padded + columns, N - columns % N, 0.0f);
        }
        const Rows rows(Access::Codes(a, p, k, g), columns);
        rows.MultiplyAdd(codebooks, numbers, sums);
        k += columns;
      }
    }
    Each<kParts>([&](auto v) QOMPOSE_FLATTEN {
      alignas(64) float totals[N];
      for (std::size_t r = 0; r < N; ++r) {
        totals[r] = hn::GetLane(hn::SumOfLanes(DF(), hn::Load(DF(), sums + (v * N + r) * N)));
      }
      Access::Finish(a, 0, p * panel_rows + v * N, hn::Load(DF(), totals));
    });
  }

  /// Decodes columns [k, k + columns) of a panel to [columns][16 rows], scales and offsets applied.
  static HWY_INLINE void DecodeColumns(const Arguments& a, std::size_t p, std::size_t k,
                                       std::size_t columns, float* out) {
    const Decoder decoder(a.weights.codebooks);
    std::size_t g = k / a.geometry.group_stride;
    for (const std::size_t end = k + columns; k < end; ++g) {
      const std::size_t stop =
          std::min(end, g * a.geometry.group_stride + Access::GroupColumns(a, g));
      const std::uint8_t* w = Access::Codes(a, p, k, g);
      if constexpr (Rows::kExists) {
        const std::size_t count = stop - k;
        static_assert(kColumns <= Rows::kMostColumns);
        Rows(w, count).Decode(Access::Codebooks(a, p, g), count, out);
        out += count * panel_rows;
        k = stop;
        continue;
      }
      VF scale[kParts];
      VF offset[kParts];
      Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
        if constexpr (Layout::is_scaled) scale[part] = Scale(a, p, g, part);
        if constexpr (Layout::has_offset) offset[part] = Access::Offset(a, p, g, part);
      });
      for (; k < stop; k += Decoder::kColumns, w += Decoder::kBytes) {
        Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
          decoder.Unit(w, part, Access::Codebooks(a, p, g),
                       [&](auto column, VF values) QOMPOSE_FLATTEN {
                         if constexpr (Layout::has_offset) {
                           values = hn::MulAdd(values, scale[part], offset[part]);
                         } else if constexpr (Layout::is_scaled) {
                           values = hn::Mul(values, scale[part]);
                         }
                         hn::StoreU(values, DF(), out + column * panel_rows + part * N);
                       });
        });
        out += Decoder::kColumns * panel_rows;
      }
    }
  }

  /// sums += w x for one tile of tokens, n panels and `columns` columns.
  template <std::size_t n>
  static HWY_INLINE void Tile(const float* w, std::size_t panel_floats, const float* x,
                              std::size_t columns, float* sums, std::size_t panel_sums,
                              bool first) {
    constexpr std::size_t kV = n * kParts;
    const auto at = [&](std::size_t m, std::size_t v) QOMPOSE_FLATTEN {
      return sums + (v / kParts) * panel_sums + m * panel_rows + (v % kParts) * N;
    };
    VF sum[kTokens][kV];
    Each<kTokens>([&](auto m) QOMPOSE_FLATTEN {
      Each<kV>([&](auto v) QOMPOSE_FLATTEN {
        sum[m][v] = first ? hn::Zero(DF()) : hn::LoadU(DF(), at(m, v));
      });
    });
    for (std::size_t k = 0; k < columns; ++k, w += panel_rows, x += kTokens) {
      VF values[kV];
      Each<kV>([&](auto v) QOMPOSE_FLATTEN {
        values[v] = hn::LoadU(DF(), w + (v / kParts) * panel_floats + (v % kParts) * N);
      });
      Each<kTokens>([&](auto m) QOMPOSE_FLATTEN {
        const VF xs = hn::Set(DF(), x[m]);
        Each<kV>([&](auto v) QOMPOSE_FLATTEN { sum[m][v] = hn::MulAdd(values[v], xs, sum[m][v]); });
      });
    }
    Each<kTokens>([&](auto m) QOMPOSE_FLATTEN {
      Each<kV>([&](auto v) QOMPOSE_FLATTEN { hn::StoreU(sum[m][v], DF(), at(m, v)); });
    });
  }

  /// Codes that will be decoded next, asked for a little with every tile, so that nobody waits for
  /// memory while there is nothing to multiply.
  struct NextCodes {
    const std::uint8_t* at[kPanels] = {};
    std::size_t bytes = 0;  ///< of each panel

    /// Asks for part i of `parts`, into L2: L1 is full of what is multiplied now.
    HWY_INLINE void Ask(std::size_t i, std::size_t parts) const {
      const std::size_t lines = divide_up(bytes, std::size_t{64});
      const std::size_t share = divide_up(lines, parts);
      const std::size_t end = std::min((i + 1) * share, lines);
      for (std::size_t line = i * share; line < end; ++line) {
        for (const std::uint8_t* panel : at) __builtin_prefetch(panel + line * 64, 0, 2);
      }
    }
  };

  /// A stretch of columns of n panels for a block of tokens.
  template <std::size_t n>
  static HWY_NOINLINE void Stretch(const Arguments& a, std::size_t p, std::size_t k,
                                   std::size_t columns, std::size_t first_token, std::size_t tokens,
                                   float* sums, const NextCodes& next) {
    // Numbers that are floats already are read where they are.
    constexpr bool kDecoded = std::is_same_v<Element, fp32> && !Layout::is_scaled;
    alignas(64) float decoded[kDecoded ? 1 : n * kColumns * panel_rows];
    const float* w = decoded;
    std::size_t panel_floats = columns * panel_rows;
    if constexpr (kDecoded) {
      w = reinterpret_cast<const float*>(Access::Codes(a, p, k, 0));
      panel_floats = a.geometry.padded_cols * panel_rows;
    } else {
      for (std::size_t j = 0; j < n; ++j) {
        DecodeColumns(a, p + j, k, columns, decoded + j * columns * panel_rows);
      }
    }
    const auto* x = reinterpret_cast<const float*>(a.x.values);
    const std::size_t tiles = divide_up(tokens, kTokens);
    for (std::size_t t = 0; t < tokens; t += kTokens) {
      // Floats are read in order all the time, which the processor sees by itself.
      if constexpr (!kDecoded) next.Ask(t / kTokens, tiles);
      const float* tile = x + (first_token + t) * a.geometry.padded_cols + k * kTokens;
      Tile<n>(w, panel_floats, tile, columns, sums + t * panel_rows, kBlockTokens * panel_rows,
              k == 0);
    }
  }

  /// What Block() reads after panels [p, p + kPanels) and columns from k on.
  static HWY_INLINE NextCodes After(const Arguments& a, std::size_t first, std::size_t last,
                                    std::size_t p, std::size_t k) {
    NextCodes next;
    p += kPanels;
    if (p + kPanels > last) {
      p = first;
      k += kColumns;
      // Then come the next panels, or these again for other tokens.
      if (k >= a.geometry.padded_cols) return next;
    }
    const std::size_t end = std::min(k + kColumns, a.geometry.padded_cols);
    for (std::size_t j = 0; j < kPanels; ++j) {
      next.at[j] = Access::Codes(a, p + j, k, k / a.geometry.group_stride);
    }
    const std::size_t last_group = (end - 1) / a.geometry.group_stride;
    next.bytes = static_cast<std::size_t>(Access::Codes(a, p, end - 1, last_group) - next.at[0]);
    return next;
  }

  /// A block of tokens and at most kBlockPanels panels. Activations of a stretch of columns stay in
  /// L2 while the panels pass by.
  static HWY_NOINLINE void Block(const Arguments& a, std::size_t first, std::size_t last,
                                 std::size_t first_token) {
    alignas(64) float sums[kBlockPanels][kBlockTokens * panel_rows];
    const std::size_t tokens = std::min(kBlockTokens, a.n_tokens - first_token);
    for (std::size_t k = 0; k < a.geometry.padded_cols; k += kColumns) {
      const std::size_t columns = std::min(kColumns, a.geometry.padded_cols - k);
      std::size_t p = first;
      for (; p + kPanels <= last; p += kPanels) {
        const NextCodes next = After(a, first, last, p, k);
        Stretch<kPanels>(a, p, k, columns, first_token, tokens, sums[p - first], next);
      }
      if constexpr (kPanels > 1) {
        for (; p < last; ++p) {
          Stretch<1>(a, p, k, columns, first_token, tokens, sums[p - first], {});
        }
      }
    }
    for (std::size_t p = first; p < last; ++p) {
      for (std::size_t t = 0; t < tokens; ++t) {
        Each<kParts>([&](auto part) QOMPOSE_FLATTEN {
          VF value = hn::LoadU(DF(), sums[p - first] + t * panel_rows + part * N);
          if constexpr (Layout::has_row_scales) {
            value = hn::Mul(value, Access::RowScale(a, p, part));
          }
          Access::Finish(a, first_token + t, p * panel_rows + part * N, value);
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
