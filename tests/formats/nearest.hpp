// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Rounding by definition: the nearest of all codes, found by search in double.

#include <algorithm>
#include <cmath>
#include <cstddef>
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

}  // namespace qompose_tests
