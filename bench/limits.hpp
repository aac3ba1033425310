// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What this machine can do at most, measured: the limits that rows are compared with.
///
/// Other users of a shared machine change its limits from one second to the next. So every call
/// measures anew, for some milliseconds, and rows ask again between their own timings.

#include <cstddef>
#include <string>

namespace qompose_bench {

/// A measured limit and what reached it.
struct limit {
  double per_second = 0.0;  ///< bytes or operations
  std::string way;          ///< such as "vpdpbusd zmm"
};

/// Bytes of the first, second or last cache; a usual size where the system does not say.
std::size_t cache_bytes(int level);

/// Bytes that no cache holds: what cold rows and the memory limit go through.
std::size_t cold_bytes();

/// Bytes a second of reading a buffer of so many bytes again and again, cut among threads, by the
/// loop that was the fastest at the first call.
limit read_limit(std::size_t bytes, std::size_t threads);

/// Operations a second of the exact u8 x s8 -> s32 dot product, all in registers; a multiply-add is
/// two.
limit integer_limit(std::size_t threads);

/// The same with sums of 16 bits, which x86 without VNNI can use for a few terms of small codes;
/// that of `integer_limit` elsewhere.
limit short_sum_limit(std::size_t threads);

/// Operations a second of float multiply-adds, all in registers.
limit float_limit(std::size_t threads);

}  // namespace qompose_bench
