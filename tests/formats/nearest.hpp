// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rounding by definition: the nearest of all codes, found by search in double.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace qompose_tests {

/// A code and its value, exact in double.
struct coded_value {
  double value;
  unsigned code;
};

/// The code whose value is nearest to x; the even code where two are equally near.
/// @param sorted  all codes with a value, by rising value; not empty
inline unsigned nearest(const std::vector<coded_value>& sorted, double x) {
  const auto above = std::lower_bound(sorted.begin(), sorted.end(), x,
                                      [](const coded_value& v, double y) { return v.value < y; });
  if (above == sorted.begin()) return above->code;
  const auto below = above - 1;
  if (above == sorted.end()) return below->code;
  const double up = above->value - x;
  const double down = x - below->value;
  if (up != down) return up < down ? above->code : below->code;
  return above->code % 2 == 0 ? above->code : below->code;
}

/// The code whose value is nearest to x; the lowest where several are equally near.
/// @param sorted  all codes with a value, by rising value; not empty
inline unsigned nearest_low(const std::vector<coded_value>& sorted, double x) {
  const coded_value* best = &sorted.front();
  for (const coded_value& v : sorted) {
    if (std::abs(v.value - x) < std::abs(best->value - x)) best = &v;
  }
  return best->code;
}

/// Floats that tell right rounding from wrong: every value, every midpoint between neighbours, and
/// what lies one unit in the last place beside them.
inline std::vector<float> telling_points(const std::vector<coded_value>& sorted) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> points;
  const auto add = [&](double x) {
    const auto point = static_cast<float>(x);
    points.push_back(std::nextafter(point, -infinity));
    points.push_back(point);
    points.push_back(std::nextafter(point, infinity));
  };
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    add(sorted[i].value);
    if (i > 0) add(sorted[i - 1].value / 2 + sorted[i].value / 2);
  }
  return points;
}

/// Every sign and exponent of float with the mantissas at which roundings go wrong: zeros,
/// subnormals, infinities and NaN, quiet and signalling, are among them.
inline std::vector<float> edge_floats() {
  std::vector<float> points;
  for (std::uint32_t head = 0; head < 512; ++head) {
    for (const std::uint32_t mantissa :
         {0x00'0000u, 0x00'0001u, 0x1f'ffffu, 0x20'0000u, 0x20'0001u, 0x3f'ffffu, 0x40'0000u,
          0x40'0001u, 0x5f'ffffu, 0x60'0000u, 0x60'0001u, 0x7f'fffeu, 0x7f'ffffu}) {
      points.push_back(std::bit_cast<float>(head << 23 | mantissa));
    }
  }
  return points;
}

/// Calls `f` with every `stride`-th bit pattern of float.
template <class F>
void for_floats(std::uint32_t stride, F&& f) {
  for (std::uint64_t word = 0; word < 0x1'0000'0000u; word += stride) {
    f(std::bit_cast<float>(static_cast<std::uint32_t>(word)));
  }
}

/// Calls `f` with every `stride`-th number from -infinity up to infinity.
template <class F>
void for_rising_floats(std::uint32_t stride, F&& f) {
  constexpr std::int64_t infinity = 0x7f80'0000;
  for (std::int64_t place = -infinity; place <= infinity; place += stride) {
    const auto magnitude = static_cast<std::uint32_t>(place < 0 ? -place : place);
    f(std::bit_cast<float>(place < 0 ? magnitude | 0x8000'0000u : magnitude));
  }
}

}  // namespace qompose_tests
