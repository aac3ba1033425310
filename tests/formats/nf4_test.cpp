// SPDX-License-Identifier: Apache-2.0

#include "qompose/formats/nf4.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "formats/nearest.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using qompose_tests::coded_value;
using qompose_tests::nearest_low;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

std::vector<coded_value> all_codes() {
  std::vector<coded_value> sorted;
  for (unsigned code = 0; code < 16; ++code) {
    sorted.push_back({static_cast<double>(qp::nf4::decode(static_cast<std::uint8_t>(code))), code});
  }
  return sorted;
}

/// The number below which normal numbers fall with this probability, by bisection.
double normal_quantile(double probability) {
  double low = -10.0;
  double high = 10.0;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (std::erfc(-middle / std::sqrt(2.0)) / 2 < probability ? low : high) = middle;
  }
  return low;
}

}  // namespace

TEST_CASE("nf4: the values are quantiles as the paper's appendix E builds them", "[formats]") {
  // Eight steps above 0.5 and seven below, from a probability between 1 - 1/32 and 1 - 1/30.
  const double offset = (1.0 - 1.0 / 32 + 1.0 - 1.0 / 30) / 2;
  std::vector<double> values{0.0};
  for (int i = 0; i < 8; ++i) {
    values.push_back(normal_quantile(offset + (0.5 - offset) * i / 8));
  }
  for (int i = 0; i < 7; ++i) {
    values.push_back(-normal_quantile(offset + (0.5 - offset) * i / 7));
  }
  std::sort(values.begin(), values.end());
  const double largest = values.back();
  for (unsigned code = 0; code < 16; ++code) {
    INFO("code " << code);
    // The published values were computed in single precision; 2e-7 is a few units in their last
    // place.
    CHECK(std::abs(static_cast<double>(qp::nf4::values[code]) - values[code] / largest) < 2e-7);
  }
}

TEST_CASE("nf4: every code comes back", "[formats][rounding]") {
  for (unsigned code = 0; code < 16; ++code) {
    const auto stored = static_cast<std::uint8_t>(code);
    CHECK(qp::nf4::encode(qp::nf4::decode(stored)) == stored);
    CHECK(qp::nf4::decode(static_cast<std::uint8_t>(code | 0x50u)) == qp::nf4::decode(stored));
  }
}

TEST_CASE("nf4: encode picks the nearest value, the lower code at a tie", "[formats][rounding]") {
  const std::vector<coded_value> sorted = all_codes();
  std::vector<float> points = qompose_tests::telling_points(sorted);
  for (const float x : qompose_tests::edge_floats()) points.push_back(x);
  int wrong = 0;
  float first = 0.0f;
  const auto check = [&](float x) {
    // Distances from far away would be rounded to the same double.
    const double clamped = std::clamp(static_cast<double>(x), -2.0, 2.0);
    const unsigned wanted = std::isnan(x) ? 7u : nearest_low(sorted, clamped);
    if (qp::nf4::encode(x) != wanted && wrong++ == 0) first = x;
  };
  for (const float x : points) check(x);
  for (float x = -1.25f; x <= 1.25f; x += 0x1p-18f) check(x);
  INFO("first at " << first);
  CHECK(wrong == 0);
}

TEST_CASE("nf4: half of a value next to 0 is a tie and goes to the lower code",
          "[formats][rounding]") {
  // The only midpoints that must be floats: 0 is a value, and halves are exact.
  const float above = qp::nf4::values[8] / 2;
  CHECK(qp::nf4::encode(above) == 7);
  CHECK(qp::nf4::encode(std::nextafter(above, 1.0f)) == 8);
  const float below = qp::nf4::values[6] / 2;
  CHECK(qp::nf4::encode(below) == 6);
  CHECK(qp::nf4::encode(std::nextafter(below, 1.0f)) == 7);
}

TEST_CASE("nf4: worked numbers, zeros, infinities and NaN", "[formats][rounding]") {
  CHECK(qp::nf4::encode(0.5f) == 12);
  CHECK(qp::nf4::encode(-1.0f) == 0);
  CHECK(qp::nf4::encode(0.1f) == 8);
  CHECK(qp::nf4::encode(0.33f) == 11);
  CHECK(qp::nf4::encode(0.0f) == 7);
  CHECK(qp::nf4::encode(-0.0f) == 7);
  CHECK(qp::nf4::encode(infinity) == 15);
  CHECK(qp::nf4::encode(-infinity) == 0);
  CHECK(qp::nf4::encode(std::numeric_limits<float>::quiet_NaN()) == 7);
  CHECK(qp::nf4::name == "nf4");
  CHECK(qp::nf4::bits == 4);
  CHECK(qp::nf4::max_finite == 1.0f);
}
