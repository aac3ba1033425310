// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <tuple>
#include <vector>

#include "formats/nearest.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using qompose_tests::coded_value;
using qompose_tests::nearest;
using qompose_tests::telling_points;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// A 16-bit format and its fields, for a decoder by definition.
template <class Format, int ExponentBits>
struct half_row {
  using format = Format;
  static constexpr int mantissa_bits = 15 - ExponentBits;
  static constexpr int bias = (1 << (ExponentBits - 1)) - 1;
  static constexpr unsigned infinity_code = ((1u << ExponentBits) - 1u) << mantissa_bits;
};
using halves = std::tuple<half_row<qp::fp16, 5>, half_row<qp::bf16, 8>>;

/// The value of a positive code, as if the exponent had no upper end.
template <class Row>
double value_of(unsigned code) {
  const int exponent = static_cast<int>(code >> Row::mantissa_bits);
  const unsigned mantissa = code & ((1u << Row::mantissa_bits) - 1u);
  const unsigned hidden = exponent == 0 ? 0u : 1u << Row::mantissa_bits;
  return std::ldexp(static_cast<double>(mantissa + hidden),
                    std::max(exponent, 1) - Row::bias - Row::mantissa_bits);
}

/// Positive codes by value. Infinity stands for the number that would come next: IEEE 754 rounds as
/// if there were one, and a tie with it goes to infinity, whose code is even.
template <class Row>
std::vector<coded_value> positive_codes() {
  std::vector<coded_value> sorted;
  for (unsigned code = 0; code <= Row::infinity_code; ++code) {
    sorted.push_back({value_of<Row>(code), code});
  }
  return sorted;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("fp16 and bf16: all 65536 codes decode to their value and come back",
                        "[formats][rounding]", halves) {
  using format = typename TestType::format;
  int wrong = 0;
  for (unsigned code = 0; code < 0x10000u; ++code) {
    const auto stored = static_cast<std::uint16_t>(code);
    const unsigned magnitude = code & 0x7fffu;
    const float value = format::decode(stored);
    const bool negative = (code & 0x8000u) != 0;
    if (magnitude > TestType::infinity_code) {
      // A NaN stays a NaN of the same sign and becomes quiet.
      const std::uint16_t back = format::encode(value);
      wrong += !(std::isnan(value) && std::signbit(value) == negative);
      wrong += (back & 0x7fffu) <= TestType::infinity_code || ((back & 0x8000u) != 0) != negative;
      wrong += (back & (1u << (TestType::mantissa_bits - 1))) == 0;
      continue;
    }
    const double absolute = magnitude == TestType::infinity_code
                                ? std::numeric_limits<double>::infinity()
                                : value_of<TestType>(magnitude);
    wrong += static_cast<double>(value) != (negative ? -absolute : absolute);
    wrong += std::signbit(value) != negative;  // tells -0 from 0
    wrong += format::encode(value) != stored;
  }
  CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("fp16 and bf16: encode picks the nearest code, ties to even",
                        "[formats][rounding]", halves) {
  using format = typename TestType::format;
  const std::vector<coded_value> sorted = positive_codes<TestType>();
  std::vector<float> points = telling_points(sorted);
  for (const float x : {std::numeric_limits<float>::denorm_min(), 0x1p-149f, 0x1p-126f, 1e-30f,
                        1e30f, std::numeric_limits<float>::max(), infinity}) {
    points.push_back(x);
  }
  int wrong = 0;
  float first_wrong = 0.0f;
  for (const float point : points) {
    const float x = std::abs(point);
    // Past the stand-in for infinity there is nothing nearer.
    const unsigned wanted = nearest(sorted, static_cast<double>(x));
    if (format::encode(x) != wanted || format::encode(-x) != (wanted | 0x8000u)) {
      if (wrong++ == 0) first_wrong = x;
    }
  }
  INFO("first at " << first_wrong);
  CHECK(wrong == 0);
  CHECK(points.size() > 6 * 0x7c00);
}

TEST_CASE("fp16: saturates to infinity where half a step past the largest number begins",
          "[formats][rounding]") {
  CHECK(qp::fp16::decode(qp::fp16::encode(65504.0f)) == 65504.0f);
  CHECK(qp::fp16::decode(qp::fp16::encode(std::nextafter(65520.0f, 0.0f))) == 65504.0f);
  CHECK(qp::fp16::decode(qp::fp16::encode(65520.0f)) == infinity);
  CHECK(qp::fp16::decode(qp::fp16::encode(-1e30f)) == -infinity);
  CHECK(qp::fp16::max_finite == 65504.0f);
  CHECK(qp::bf16::decode(qp::bf16::encode(qp::bf16::max_finite)) == qp::bf16::max_finite);
  CHECK(qp::bf16::decode(qp::bf16::encode(std::numeric_limits<float>::max())) == infinity);
}

TEST_CASE("fp16: numbers below half the smallest subnormal become a zero of their sign",
          "[formats][rounding]") {
  CHECK(qp::fp16::encode(0x1p-25f) == 0x0000);
  CHECK(qp::fp16::encode(std::nextafter(0x1p-25f, 1.0f)) == 0x0001);
  CHECK(qp::fp16::encode(-0x1p-25f) == 0x8000);
  CHECK(qp::fp16::encode(-0.0f) == 0x8000);
  CHECK(qp::bf16::encode(-0.0f) == 0x8000);
}

TEST_CASE("fp32: changes no bit", "[formats]") {
  for (const float x : {0.0f, -0.0f, 1.0f, -3.25e38f, 1e-45f, infinity, -infinity}) {
    CHECK(qp::fp32::encode(x) == std::bit_cast<std::uint32_t>(x));
    CHECK(qp::fp32::decode(qp::fp32::encode(x)) == x);
  }
  const std::uint32_t nan_with_payload = 0xffc1'2345u;
  CHECK(qp::fp32::encode(qp::fp32::decode(nan_with_payload)) == nan_with_payload);
}
