// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Loops that do one thing as fast as the processor can, in assembly, so that no compiler
/// takes them apart and no flag is needed to build them.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace qompose_bench {

/// A loop over registers.
struct register_loop {
  const char* name;
  double operations;  ///< a step
  void (*run)(std::size_t steps);
};

/// A loop that loads `bytes` bytes, a multiple of 1024, once.
struct read_loop {
  const char* name;
  void (*run)(const std::uint8_t* data, std::size_t bytes);
};

/// The best that the processor has.
register_loop integer_dot_loop();
register_loop short_sum_loop();
register_loop float_loop();
/// Several, of which one is the fastest at a given place.
std::vector<read_loop> read_loops();

}  // namespace qompose_bench
