// SPDX-License-Identifier: Apache-2.0

#include "qompose/formats/minifloat.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "formats/minifloat_rows.hpp"
#include "formats/nearest.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using qompose_tests::all_minifloats;
using qompose_tests::coded_value;
using qompose_tests::edge_floats;
using qompose_tests::for_floats;
using qompose_tests::for_rising_floats;
using qompose_tests::minifloat_row;
using qompose_tests::nearest;
using qompose_tests::slow_encode;
using qompose_tests::telling_points;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

bool same(float a, float b) { return a == b && std::signbit(a) == std::signbit(b); }

/// A wrong answer counts, and the first is remembered.
struct mistakes {
  int count = 0;
  float first = 0.0f;
  void note(bool wrong, float at) {
    if (wrong && count++ == 0) first = at;
  }
};

#define CHECK_NONE(found)               \
  do {                                  \
    INFO("first at " << (found).first); \
    CHECK((found).count == 0);          \
  } while (false)

}  // namespace

TEST_CASE("minifloat: every code decodes to the value of its fields and comes back",
          "[formats][rounding]") {
  for (const minifloat_row& row : all_minifloats()) {
    INFO(row.description());
    int wrong = 0;
    for (unsigned code = 0; code < 2 * row.sign_bit(); ++code) {
      const bool negative = (code & row.sign_bit()) != 0;
      const unsigned magnitude = code & ~row.sign_bit();
      const float value = row.decode(code);
      wrong += std::signbit(value) != negative;  // tells -0 from 0, and holds for NaN
      if (row.is_nan(code)) {
        const unsigned back = row.encode(value);
        wrong += !std::isnan(value);
        wrong += !row.is_nan(back) || ((back & row.sign_bit()) != 0) != negative;
      } else if (row.is_infinity(code)) {
        const bool kept = row.overflow == qp::overflow::nan_or_inf ||
                          row.infinity == qp::infinite_input::nan_or_inf;
        wrong += std::abs(value) != infinity;
        wrong += row.encode(value) != (kept ? code : code - 1u);
      } else {
        wrong += static_cast<double>(std::abs(value)) != row.value_of(magnitude);
        wrong += row.encode(value) != code;
      }
      // Bits above the code's own are no part of it.
      if (row.bits < 8 && !std::isnan(value)) wrong += !same(row.decode(code | 0x80u), value);
    }
    CHECK(wrong == 0);
  }
  CHECK(all_minifloats().size() == 15 * 7);
}

TEST_CASE("minifloat: encode picks the nearest code, ties to even, and overflows as its type says",
          "[formats][rounding]") {
  const std::vector<float> edges = edge_floats();
  for (const minifloat_row& row : all_minifloats()) {
    INFO(row.description());
    const std::vector<coded_value> finite = row.finite_codes();
    const std::vector<coded_value> rounding = row.rounding_codes();
    mistakes found;
    const auto check = [&](float x) {
      found.note(row.encode(x) != slow_encode(row, finite, rounding, x), x);
    };
    for (const float x : telling_points(rounding)) {
      check(x);
      check(-x);
    }
    for (const float x : edges) check(x);
    CHECK_NONE(found);
  }
}

TEST_CASE("minifloat: encode is right at every 4099th float for OCP's formats",
          "[formats][rounding]") {
  int visited = 0;
  for (const minifloat_row& row : all_minifloats()) {
    const bool is_ocp = row.name == "fp8_e4m3" || row.name == "fp8_e5m2" ||
                        row.name == "fp6_e3m2" || row.name == "fp6_e2m3" || row.name == "fp4_e2m1";
    if (!is_ocp || row.infinity != qp::infinite_input::largest_finite) continue;
    INFO(row.description());
    ++visited;
    const std::vector<coded_value> finite = row.finite_codes();
    const std::vector<coded_value> rounding = row.rounding_codes();
    mistakes found;
    // A prime, so that the low bits differ from one visit to the next.
    for_floats(4099, [&](float x) {
      found.note(row.encode(x) != slow_encode(row, finite, rounding, x), x);
    });
    CHECK_NONE(found);
  }
  CHECK(visited == 7);  // five formats, and E4M3 and E5M2 with overflow to NaN or infinity
}

TEST_CASE("minifloat: nearest is the value of the nearest code, saturated", "[formats][rounding]") {
  const std::vector<float> edges = edge_floats();
  for (const minifloat_row& row : all_minifloats()) {
    INFO(row.description());
    const std::vector<coded_value> finite = row.finite_codes();
    const bool saturates = row.overflow == qp::overflow::saturate;
    mistakes found;
    const auto check = [&](float x) {
      if (std::isnan(x)) return;  // a precondition
      const double magnitude = row.value_of(nearest(finite, static_cast<double>(std::abs(x))));
      const auto wanted = static_cast<float>(std::signbit(x) ? -magnitude : magnitude);
      found.note(!same(row.nearest(x), wanted), x);
      const bool kept = std::isinf(x) && row.infinity == qp::infinite_input::nan_or_inf;
      if (saturates && !kept) found.note(!same(row.decode(row.encode(x)), row.nearest(x)), x);
    };
    for (const float x : telling_points(row.rounding_codes())) {
      check(x);
      check(-x);
    }
    for (const float x : edges) check(x);
    CHECK_NONE(found);
  }
}

TEST_CASE("minifloat: what a larger number becomes is never smaller", "[formats][rounding]") {
  for (const minifloat_row& row : all_minifloats()) {
    INFO(row.description());
    mistakes found;
    float below = -infinity;
    float below_nearest = -infinity;
    for_rising_floats(99'991, [&](float x) {
      const float value = row.decode(row.encode(x));
      const float near = row.nearest(x);
      found.note(near < below_nearest, x);
      below_nearest = near;
      if (std::isnan(value)) return;  // overflow
      found.note(value < below, x);
      below = value;
    });
    CHECK_NONE(found);
  }
}

TEST_CASE("minifloat: the constants are those of the codes", "[formats]") {
  for (const minifloat_row& row : all_minifloats()) {
    INFO(row.description());
    CHECK(static_cast<double>(row.max_finite) == row.value_of(row.first_special() - 1u));
    CHECK(static_cast<double>(row.min_normal) == row.value_of(1u << row.mantissa_bits));
    CHECK(static_cast<double>(row.min_subnormal) == row.value_of(1u));
    CHECK(row.bits == 1 + row.exponent_bits + row.mantissa_bits);
  }
}

TEST_CASE("minifloat: formats with other values have other names", "[formats]") {
  const std::vector<minifloat_row>& rows = all_minifloats();
  int wrong = 0;
  for (const minifloat_row& a : rows) {
    for (const minifloat_row& b : rows) {
      const bool same_values = a.exponent_bits == b.exponent_bits &&
                               a.mantissa_bits == b.mantissa_bits && a.specials == b.specials;
      wrong += (a.name == b.name) != same_values;
    }
  }
  CHECK(wrong == 0);
  using qp::special_values;
  CHECK(qp::minifloat<3, 4>::name == "fp8_e3m4");
  CHECK(qp::minifloat<3, 4, special_values::infinity_and_nan>::name == "fp8_e3m4_ieee");
  CHECK(qp::minifloat<4, 3>::name == "fp8_e4m3_finite");
  CHECK(qp::minifloat<5, 2, special_values::nan>::name == "fp8_e5m2_nan");
}

TEST_CASE("minifloat: an IEEE-like float of one's own, 3 exponent and 4 mantissa bits",
          "[formats][rounding]") {
  using ieee = qp::minifloat<3, 4, qp::special_values::infinity_and_nan>;
  using overflowing =
      qp::minifloat<3, 4, qp::special_values::infinity_and_nan, qp::overflow::nan_or_inf>;
  // Bias 3, largest exponent field 6: 2^3 * (2 - 1/16); smallest subnormal 2^(1 - 3 - 4).
  CHECK(ieee::max_finite == 15.5f);
  CHECK(ieee::min_normal == 0.25f);
  CHECK(ieee::min_subnormal == 0.015625f);
  CHECK(ieee::decode(0x70) == infinity);
  CHECK(std::isnan(ieee::decode(0x71)));
  CHECK(std::isnan(ieee::decode(0xff)));
  CHECK(ieee::encode(1.03125f) == 0x30);  // halfway between 1 and 1.0625
  CHECK(ieee::encode(16.0f) == 0x6f);
  CHECK(overflowing::encode(std::nextafter(15.75f, 0.0f)) == 0x6f);
  CHECK(overflowing::encode(15.75f) == 0x70);
  static_assert(ieee::encode(-infinity) == 0xef && overflowing::encode(-infinity) == 0xf0);
}
