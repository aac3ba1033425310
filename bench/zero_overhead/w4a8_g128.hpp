// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Where panels of int4 in groups of 128 with fp16 scales hold what: blocks of four groups,
///        128 bytes of scales before 4096 of codes.

#include <cstddef>

namespace qompose_bench::w4a8_g128 {

/// Groups whose scales stand together. The last block has as much room for them.
inline constexpr std::size_t block_groups = 4;
/// Bytes of a block's scales, of a group's, and of a group's codes.
inline constexpr std::size_t block_scales = 128;
inline constexpr std::size_t group_scales = 32;
inline constexpr std::size_t group_codes = 1024;

/// Bytes of a panel.
constexpr std::size_t panel_bytes(std::size_t groups) {
  return (groups + block_groups - 1) / block_groups * block_scales + groups * group_codes;
}
/// Where the codes of a group start in a panel, and its scales.
constexpr std::size_t codes_at(std::size_t g) {
  return (g / block_groups + 1) * block_scales + g * group_codes;
}
constexpr std::size_t scales_at(std::size_t g) {
  return codes_at(g / block_groups * block_groups) - block_scales + g % block_groups * group_scales;
}
static_assert(panel_bytes(32) == 33792 && codes_at(5) == 4224 + 128 + 1024 &&
              scales_at(5) == 4224 + 32);

}  // namespace qompose_bench::w4a8_g128
