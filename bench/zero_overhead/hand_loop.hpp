// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Layers written by hand for one composition and one instruction set: what composed ones
///        are compared with.
///
/// A hand-written layer reads the library's panels, as both sides have to multiply the same bytes,
/// and shares no code with the library's kernels. It may be as special as it likes: in_features is
/// a multiple of 128, out_features of 64, and there is one thread.

#include <cstddef>
#include <cstdint>
#include <vector>

#include "qompose/core/aligned_buffer.hpp"

namespace qompose_bench {

/// Columns of a group, and of a block of the Hadamard transform.
inline constexpr std::size_t hand_group = 128;
/// Rows that are multiplied together for one token: four panels.
inline constexpr std::size_t hand_rows = 64;
/// Tokens that meet a weight in registers.
inline constexpr std::size_t tile_tokens = 8;
/// Tokens that meet weights while those are near.
inline constexpr std::size_t block_tokens = 128;

/// Panels of weights, see packing/panels.hpp, and what lies beside them.
struct hand_weights {
  std::size_t rows = 0;
  std::size_t cols = 0;
  const std::uint8_t* panels = nullptr;
  const std::uint8_t* scales = nullptr;  ///< of channels
  const float* row_scales = nullptr;

  [[nodiscard]] std::size_t n_panels() const { return rows / 16; }
  [[nodiscard]] std::size_t groups() const { return cols / hand_group; }
};

/// Memory between calls.
struct hand_scratch {
  qompose::aligned_buffer<float> row;           ///< a rotated token
  qompose::aligned_buffer<std::int8_t> codes;   ///< tile_tokens tokens, `code_stride` apart
  qompose::aligned_buffer<std::int8_t> tiles;   ///< [tiles][cols / 4][tile_tokens][4]
  qompose::aligned_buffer<float> scales;        ///< of tokens
  qompose::aligned_buffer<std::int32_t> sums;   ///< [tiles][groups][tile_tokens], of codes
  qompose::aligned_buffer<std::uint8_t> stage;  ///< two panels as bytes
  qompose::aligned_buffer<float> totals;        ///< [block_tokens][2 panels][16 rows]

  /// Rows a multiple of 4 KiB apart would share a few places of the L1 cache.
  static std::size_t code_stride(std::size_t cols) { return cols + 64; }

  void reserve(std::size_t n_tokens, std::size_t cols) {
    const std::size_t tokens = (n_tokens + tile_tokens - 1) / tile_tokens * tile_tokens;
    if (tiles.size() >= tokens * cols && row.size() >= cols) return;
    row = qompose::aligned_buffer<float>(cols);
    codes = qompose::aligned_buffer<std::int8_t>(tile_tokens * code_stride(cols));
    tiles = qompose::aligned_buffer<std::int8_t>(tokens * cols);
    scales = qompose::aligned_buffer<float>(tokens);
    sums = qompose::aligned_buffer<std::int32_t>(tokens * (cols / hand_group));
    stage = qompose::aligned_buffer<std::uint8_t>(32 * cols);
    totals = qompose::aligned_buffer<float>(block_tokens * 32);
  }
};

/// One layer for one instruction set.
struct hand_loop {
  const char* way;  ///< such as "AVX-512 VNNI"
  bool runs_here;   ///< whether the processor has it
  /// y = x W^T for x [n_tokens, cols] and y [n_tokens, rows].
  void (*run)(const hand_weights& w, const float* x, std::size_t n_tokens, float* y,
              hand_scratch& scratch);
};

#if defined(__x86_64__)
/// int8 per channel, int8 per token.
hand_loop w8a8_avx512();
hand_loop w8a8_avx2();
/// int4 in groups of 128 with fp16 scales, int8 per token.
hand_loop w4a8_g128_avx512();
hand_loop w4a8_g128_avx2();
/// uint4 with integer scales and zero points in groups of 128 and a float scale a row, int8 per
/// token, both rotated in blocks of 128.
hand_loop two_level_avx512();
hand_loop two_level_avx2();
#endif

}  // namespace qompose_bench
