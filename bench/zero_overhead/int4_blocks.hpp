// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Where panels of four bits in groups of 128 hold what: blocks of four groups, 128 bytes of
///        scales and zero points before 4096 of codes.

#include <cstddef>

namespace qompose_bench::int4_blocks {

/// Groups whose scales stand together. The last block has as much room for them.
inline constexpr std::size_t block_groups = 4;
/// Bytes of what stands before the codes of a block, and of a group's codes.
inline constexpr std::size_t head_bytes = 128;
inline constexpr std::size_t group_codes = 1024;

/// Bytes of a panel.
constexpr std::size_t panel_bytes(std::size_t groups) {
  return (groups + block_groups - 1) / block_groups * head_bytes + groups * group_codes;
}
/// Where the codes of a group start in a panel, and its block.
constexpr std::size_t codes_at(std::size_t g) {
  return (g / block_groups + 1) * head_bytes + g * group_codes;
}
constexpr std::size_t block_at(std::size_t g) {
  return codes_at(g / block_groups * block_groups) - head_bytes;
}
static_assert(panel_bytes(32) == 33792 && codes_at(5) == 4224 + 128 + 1024 && block_at(5) == 4224);

/// fp16 scales fill the head.
inline constexpr std::size_t half_bytes = 32;
constexpr std::size_t halves_at(std::size_t g) {
  return block_at(g) + g % block_groups * half_bytes;
}
/// Integer scales, and zero points behind those of all four groups.
inline constexpr std::size_t small_bytes = 16;
constexpr std::size_t scales_at(std::size_t g) {
  return block_at(g) + g % block_groups * small_bytes;
}
constexpr std::size_t zeros_at(std::size_t g) { return scales_at(g) + block_groups * small_bytes; }

}  // namespace qompose_bench::int4_blocks
