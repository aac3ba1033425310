// SPDX-License-Identifier: Apache-2.0

#include "qompose/formats/e8m0.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "formats/nearest.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using qompose_tests::coded_value;
using qompose_tests::nearest;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// All codes but that of NaN: 2^-127 up to 2^127.
std::vector<coded_value> powers() {
  std::vector<coded_value> sorted;
  for (unsigned code = 0; code < 255; ++code) {
    sorted.push_back({std::ldexp(1.0, static_cast<int>(code) - 127), code});
  }
  return sorted;
}

unsigned slow_encode(const std::vector<coded_value>& sorted, float value) {
  if (std::isnan(value)) return 255;
  return nearest(sorted, static_cast<double>(value));  // 0 for what lies below all of them
}

}  // namespace

TEST_CASE("e8m0: every code is a power of two and comes back, 255 is NaN", "[formats][rounding]") {
  for (const coded_value& power : powers()) {
    const auto code = static_cast<std::uint8_t>(power.code);
    CHECK(static_cast<double>(qp::e8m0::decode(code)) == power.value);
    CHECK(qp::e8m0::encode(qp::e8m0::decode(code)) == code);
  }
  CHECK(std::isnan(qp::e8m0::decode(255)));
  CHECK(qp::e8m0::encode(qp::e8m0::decode(255)) == 255);
}

TEST_CASE("e8m0: encode picks the nearest power of two, ties to the even code",
          "[formats][rounding]") {
  const std::vector<coded_value> sorted = powers();
  std::vector<float> points = qompose_tests::telling_points(sorted);
  for (const float x : qompose_tests::edge_floats()) points.push_back(x);
  int wrong = 0;
  float first = 0.0f;
  const auto check = [&](float x) {
    if (qp::e8m0::encode(x) != slow_encode(sorted, x) && wrong++ == 0) first = x;
  };
  for (const float x : points) check(x);
  qompose_tests::for_floats(4099, check);
  INFO("first at " << first);
  CHECK(wrong == 0);
}

TEST_CASE("e8m0: ties, one by one", "[formats][rounding]") {
  // 1.5 lies between the codes 127 and 128, 3 between 128 and 129.
  CHECK(qp::e8m0::encode(1.5f) == 128);
  CHECK(qp::e8m0::encode(std::nextafter(1.5f, 0.0f)) == 127);
  CHECK(qp::e8m0::encode(3.0f) == 128);
  CHECK(qp::e8m0::encode(std::nextafter(3.0f, 4.0f)) == 129);
  // The codes 0 and 1 stand for 2^-127, which is subnormal as a float, and 2^-126.
  CHECK(qp::e8m0::encode(0x1.8p-127f) == 0);
  CHECK(qp::e8m0::encode(std::nextafter(0x1.8p-127f, 1.0f)) == 1);
}

TEST_CASE("e8m0: zero and negative numbers give the smallest power, large ones the largest",
          "[formats][rounding]") {
  const float denormal = std::numeric_limits<float>::denorm_min();
  for (const float x :
       {0.0f, -0.0f, denormal, -denormal, -1.0f, std::numeric_limits<float>::lowest(), -infinity}) {
    INFO("x = " << x);
    CHECK(qp::e8m0::encode(x) == 0);
  }
  for (const float x : {0x1p127f, std::numeric_limits<float>::max(), infinity}) {
    INFO("x = " << x);
    CHECK(qp::e8m0::encode(x) == 254);
  }
  CHECK(qp::e8m0::encode(std::numeric_limits<float>::quiet_NaN()) == 255);
  CHECK(qp::e8m0::encode(-std::numeric_limits<float>::quiet_NaN()) == 255);
  CHECK(qp::e8m0::encode(std::bit_cast<float>(0x7f80'0001u)) == 255);
}

TEST_CASE("e8m0: is a format of scales alone", "[formats]") {
  CHECK(qp::e8m0::name == "e8m0");
  CHECK(qp::e8m0::bits == 8);
  CHECK(qp::e8m0::max_finite == 0x1p127f);
  CHECK(qp::scale_only_format<qp::e8m0>);
  CHECK(qp::is_unsigned_format<qp::e8m0>);
}
