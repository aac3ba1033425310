// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstdint>
#include <limits>
#include <set>
#include <tuple>

#include "qompose/formats/fp4_e2m1.hpp"
#include "qompose/formats/fp6_e2m3.hpp"
#include "qompose/formats/fp6_e3m2.hpp"
#include "qompose/formats/fp8_e4m3.hpp"
#include "qompose/formats/fp8_e5m2.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

using e4m3_overflowing = qp::minifloat<4, 3, qp::special_values::nan, qp::overflow::nan_or_inf>;
using e5m2_overflowing =
    qp::minifloat<5, 2, qp::special_values::infinity_and_nan, qp::overflow::nan_or_inf>;
using e4m3_keeping = qp::minifloat<4, 3, qp::special_values::nan, qp::overflow::saturate,
                                   qp::infinite_input::nan_or_inf>;
using e5m2_keeping = qp::minifloat<5, 2, qp::special_values::infinity_and_nan,
                                   qp::overflow::saturate, qp::infinite_input::nan_or_inf>;

template <class Format>
float through(float value) {
  return Format::decode(Format::encode(value));
}

float after(float value) { return std::nextafter(value, infinity); }
float before(float value) { return std::nextafter(value, -infinity); }

/// Different magnitudes that are finite.
template <class Format>
std::size_t finite_magnitudes() {
  std::set<float> magnitudes;
  for (int code = 0; code < 1 << Format::bits; ++code) {
    const float value = Format::decode(static_cast<std::uint8_t>(code));
    if (std::isfinite(value)) magnitudes.insert(std::abs(value));
  }
  return magnitudes.size();
}

using without_specials = std::tuple<qp::fp6_e2m3, qp::fp6_e3m2, qp::fp4_e2m1>;

}  // namespace

TEST_CASE("OCP floats: names, widths, ranges and number of magnitudes", "[formats]") {
  CHECK(qp::fp8_e4m3::name == "fp8_e4m3");
  CHECK(qp::fp8_e4m3::bits == 8);
  CHECK(qp::fp8_e4m3::max_finite == 448.0f);
  CHECK(qp::fp8_e4m3::min_normal == 0x1p-6f);
  CHECK(qp::fp8_e4m3::min_subnormal == 0x1p-9f);
  CHECK(qp::fp8_e4m3::exponent_bias == 7);
  CHECK(finite_magnitudes<qp::fp8_e4m3>() == 127);

  CHECK(qp::fp8_e5m2::name == "fp8_e5m2");
  CHECK(qp::fp8_e5m2::bits == 8);
  CHECK(qp::fp8_e5m2::max_finite == 57344.0f);
  CHECK(qp::fp8_e5m2::min_normal == 0x1p-14f);
  CHECK(qp::fp8_e5m2::min_subnormal == 0x1p-16f);
  CHECK(qp::fp8_e5m2::exponent_bias == 15);
  CHECK(finite_magnitudes<qp::fp8_e5m2>() == 124);

  CHECK(qp::fp6_e3m2::name == "fp6_e3m2");
  CHECK(qp::fp6_e3m2::bits == 6);
  CHECK(qp::fp6_e3m2::max_finite == 28.0f);
  CHECK(qp::fp6_e3m2::min_normal == 0.25f);
  CHECK(qp::fp6_e3m2::min_subnormal == 0.0625f);
  CHECK(qp::fp6_e3m2::exponent_bias == 3);
  CHECK(finite_magnitudes<qp::fp6_e3m2>() == 32);

  CHECK(qp::fp6_e2m3::name == "fp6_e2m3");
  CHECK(qp::fp6_e2m3::bits == 6);
  CHECK(qp::fp6_e2m3::max_finite == 7.5f);
  CHECK(qp::fp6_e2m3::min_normal == 1.0f);
  CHECK(qp::fp6_e2m3::min_subnormal == 0.125f);
  CHECK(qp::fp6_e2m3::exponent_bias == 1);
  CHECK(finite_magnitudes<qp::fp6_e2m3>() == 32);

  CHECK(qp::fp4_e2m1::name == "fp4_e2m1");
  CHECK(qp::fp4_e2m1::bits == 4);
  CHECK(qp::fp4_e2m1::max_finite == 6.0f);
  CHECK(qp::fp4_e2m1::min_normal == 1.0f);
  CHECK(qp::fp4_e2m1::min_subnormal == 0.5f);
  CHECK(qp::fp4_e2m1::exponent_bias == 1);
  CHECK(finite_magnitudes<qp::fp4_e2m1>() == 8);
}

TEST_CASE("fp8_e4m3: worked numbers", "[formats][rounding]") {
  CHECK(through<qp::fp8_e4m3>(0.1f) == 0.1015625f);
  CHECK(through<qp::fp8_e4m3>(1.0f / 3.0f) == 0.34375f);
  CHECK(through<qp::fp8_e4m3>(17.0f) == 16.0f);
  CHECK(through<qp::fp8_e4m3>(19.0f) == 20.0f);
  CHECK(through<qp::fp8_e4m3>(300.0f) == 288.0f);
  CHECK(through<qp::fp8_e4m3>(0x1p-10f) == 0.0f);
  CHECK(through<qp::fp8_e4m3>(after(0x1p-10f)) == 0x1p-9f);
  CHECK(through<qp::fp8_e4m3>(0x3p-10f) == 0x1p-8f);
}

TEST_CASE("fp8_e5m2: worked numbers", "[formats][rounding]") {
  CHECK(through<qp::fp8_e5m2>(0.1f) == 0.09375f);
  CHECK(through<qp::fp8_e5m2>(18.0f) == 16.0f);
  CHECK(through<qp::fp8_e5m2>(300.0f) == 320.0f);
  CHECK(through<qp::fp8_e5m2>(0x1p-10f) == 0x1p-10f);
}

TEST_CASE("fp4_e2m1: the codes in order", "[formats][rounding]") {
  const float magnitudes[] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  for (unsigned code = 0; code < 8; ++code) {
    CHECK(qp::fp4_e2m1::decode(static_cast<std::uint8_t>(code)) == magnitudes[code]);
    CHECK(qp::fp4_e2m1::decode(static_cast<std::uint8_t>(code | 8u)) == -magnitudes[code]);
  }
  CHECK(through<qp::fp4_e2m1>(5.0f) == 4.0f);
  CHECK(through<qp::fp4_e2m1>(5.1f) == 6.0f);
  CHECK(through<qp::fp4_e2m1>(7.9f) == 6.0f);
}

TEST_CASE("fp8_e4m3: overflow to NaN starts past 464, which is a tie that goes to 448",
          "[formats][rounding]") {
  CHECK(e4m3_overflowing::encode(464.0f) == 0x7e);
  CHECK(e4m3_overflowing::encode(after(464.0f)) == 0x7f);
  CHECK(e4m3_overflowing::encode(465.0f) == 0x7f);
  CHECK(e4m3_overflowing::encode(-464.0f) == 0xfe);
  CHECK(e4m3_overflowing::encode(-465.0f) == 0xff);
  CHECK(e4m3_overflowing::encode(infinity) == 0x7f);
  CHECK(e4m3_overflowing::encode(-infinity) == 0xff);
  CHECK(qp::fp8_e4m3::encode(465.0f) == 0x7e);
  CHECK(qp::fp8_e4m3::encode(std::numeric_limits<float>::max()) == 0x7e);
}

TEST_CASE("fp8_e5m2: overflow to infinity starts at 61440, a tie with an odd code below",
          "[formats][rounding]") {
  CHECK(e5m2_overflowing::encode(before(61440.0f)) == 0x7b);
  CHECK(e5m2_overflowing::encode(61440.0f) == 0x7c);
  CHECK(e5m2_overflowing::encode(-61440.0f) == 0xfc);
  CHECK(e5m2_overflowing::encode(infinity) == 0x7c);
  CHECK(qp::fp8_e5m2::encode(61440.0f) == 0x7b);
  CHECK(qp::fp8_e5m2::encode(-std::numeric_limits<float>::max()) == 0xfb);
}

TEST_CASE("fp8: infinity is the largest number where overflow saturates, unless asked for",
          "[formats][rounding]") {
  CHECK(qp::fp8_e4m3::encode(infinity) == 0x7e);
  CHECK(qp::fp8_e5m2::encode(-infinity) == 0xfb);
  CHECK(e4m3_keeping::encode(infinity) == 0x7f);
  CHECK(e5m2_keeping::encode(-infinity) == 0xfc);
  // Finite numbers saturate all the same.
  CHECK(e4m3_keeping::encode(std::numeric_limits<float>::max()) == 0x7e);
  CHECK(e5m2_keeping::encode(-std::numeric_limits<float>::max()) == 0xfb);
}

TEST_CASE("fp8: NaN stays NaN and keeps its sign", "[formats][rounding]") {
  CHECK(qp::fp8_e4m3::encode(not_a_number) == 0x7f);
  CHECK(qp::fp8_e4m3::encode(-not_a_number) == 0xff);
  CHECK(qp::fp8_e5m2::encode(not_a_number) == 0x7e);
  CHECK(qp::fp8_e5m2::encode(-not_a_number) == 0xfe);
  for (const unsigned code : {0x7du, 0x7eu, 0x7fu, 0xfdu, 0xfeu, 0xffu}) {
    CHECK(std::isnan(qp::fp8_e5m2::decode(static_cast<std::uint8_t>(code))));
  }
}

TEMPLATE_LIST_TEST_CASE("fp6 and fp4: what has no code becomes the largest number of its sign",
                        "[formats][rounding]", without_specials) {
  using format = TestType;
  for (const float x : {infinity, not_a_number, std::numeric_limits<float>::max()}) {
    CHECK(through<format>(x) == format::max_finite);
    CHECK(through<format>(-x) == -format::max_finite);
  }
  CHECK(std::signbit(through<format>(-0.0f)));
  CHECK(through<format>(std::numeric_limits<float>::denorm_min()) == 0.0f);
  CHECK(std::signbit(through<format>(-std::numeric_limits<float>::denorm_min())));
}
