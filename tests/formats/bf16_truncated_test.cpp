// SPDX-License-Identifier: Apache-2.0

#include "qompose/formats/bf16_truncated.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "formats/nearest.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// The largest magnitude of bfloat16 that does not exceed x, by its exponent and 7 mantissa bits.
double toward_zero(double x) {
  if (x == 0.0 || std::isinf(x)) return x;
  int exponent = 0;
  std::frexp(x, &exponent);
  const double step = std::ldexp(1.0, exponent > -125 ? exponent - 8 : -133);
  return std::trunc(x / step) * step;
}

}  // namespace

TEST_CASE("bf16_truncated: all 65536 codes come back, NaN as quiet NaN of the same sign",
          "[formats][rounding]") {
  int wrong = 0;
  for (unsigned code = 0; code < 0x10000u; ++code) {
    const auto stored = static_cast<std::uint16_t>(code);
    const float value = qp::bf16_truncated::decode(stored);
    wrong += std::bit_cast<std::uint32_t>(value) != code << 16;
    const unsigned quiet = (code & 0x7fffu) > 0x7f80u ? 0x40u : 0u;
    wrong += qp::bf16_truncated::encode(value) != (code | quiet);
  }
  CHECK(wrong == 0);
}

TEST_CASE("bf16_truncated: rounds toward zero", "[formats][rounding]") {
  int wrong = 0;
  float first = 0.0f;
  const auto check = [&](float x) {
    const float value = qp::bf16_truncated::decode(qp::bf16_truncated::encode(x));
    bool right = std::signbit(value) == std::signbit(x);
    if (std::isnan(x)) {
      right = right && std::isnan(value);
    } else {
      right = right && static_cast<double>(value) == toward_zero(static_cast<double>(x));
    }
    if (!right && wrong++ == 0) first = x;
  };
  for (const float x : qompose_tests::edge_floats()) check(x);
  qompose_tests::for_floats(4099, check);
  INFO("first at " << first);
  CHECK(wrong == 0);
}

TEST_CASE("bf16_truncated: worked numbers, the largest float stays finite", "[formats][rounding]") {
  const auto through = [](float x) {
    return qp::bf16_truncated::decode(qp::bf16_truncated::encode(x));
  };
  CHECK(through(1.01171875f) == 1.0078125f);
  CHECK(qp::bf16::decode(qp::bf16::encode(1.01171875f)) == 1.015625f);
  CHECK(through(0.1f) == 0.099609375f);
  CHECK(qp::bf16::decode(qp::bf16::encode(0.1f)) == 0.10009765625f);
  CHECK(through(std::numeric_limits<float>::max()) == qp::bf16::max_finite);
  CHECK(through(infinity) == infinity);
  CHECK(std::isnan(through(std::bit_cast<float>(0x7f80'0001u))));  // whose upper half is infinity's
  CHECK(std::signbit(through(-std::numeric_limits<float>::denorm_min())));
}

TEST_CASE("bf16_truncated: makes magnitudes between 1 and 2 smaller by 2^-8 on average",
          "[formats][rounding]") {
  double truncated = 0.0;
  double rounded = 0.0;
  double worst_truncated = 0.0;
  double worst_rounded = 0.0;
  // Every float from 1 up to 2.
  for (std::uint32_t word = 0x3f80'0000u; word < 0x4000'0000u; ++word) {
    const auto x = std::bit_cast<float>(word);
    const auto error = [x](float value) {
      return static_cast<double>(value) - static_cast<double>(x);
    };
    const double cut = error(qp::bf16_truncated::decode(qp::bf16_truncated::encode(x)));
    const double near = error(qp::bf16::decode(qp::bf16::encode(x)));
    truncated += cut;
    rounded += near;
    worst_truncated = std::max(worst_truncated, -cut);
    worst_rounded = std::max(worst_rounded, std::abs(near));
  }
  // The mean of 2^16 places within a step of 2^-7 is half a float's last place off the middle.
  CHECK(truncated / 0x1p23 == Approx(-0x1p-8).epsilon(1e-4));
  CHECK(std::abs(rounded / 0x1p23) < 0x1p-23);
  CHECK(worst_truncated < 0x1p-7);
  CHECK(worst_truncated > 0x1p-7 - 0x1p-22);
  CHECK(worst_rounded == 0x1p-8);
}

TEST_CASE("bf16_truncated: is bf16 but for its encoding", "[formats]") {
  CHECK(qp::bf16_truncated::name == "bf16");  // what is stored reads the same
  CHECK(qp::bf16_truncated::bits == 16);
  CHECK(qp::bf16_truncated::max_finite == qp::bf16::max_finite);
}
