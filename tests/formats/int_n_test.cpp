// SPDX-License-Identifier: Apache-2.0

#include "qompose/formats/int_n.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "formats/nearest.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using qompose_tests::coded_value;
using qompose_tests::nearest;
using qompose_tests::telling_points;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// All widths of both signs, and signed ones without their lowest code.
using integers =
    std::tuple<qp::int_n<2>, qp::int_n<3>, qp::int_n<4>, qp::int_n<5>, qp::int_n<6>, qp::int_n<7>,
               qp::int_n<8>, qp::int_n<2, qp::code_range::symmetric>,
               qp::int_n<4, qp::code_range::symmetric>, qp::int_n<8, qp::code_range::symmetric>,
               qp::uint_n<2>, qp::uint_n<3>, qp::uint_n<4>, qp::uint_n<5>, qp::uint_n<6>,
               qp::uint_n<7>, qp::uint_n<8>>;

/// Codes by value; `code` counts from an even offset so that it keeps its parity.
template <class Format>
std::vector<coded_value> all_codes() {
  std::vector<coded_value> sorted;
  for (int code = Format::min_code; code <= Format::max_code; ++code) {
    sorted.push_back({static_cast<double>(code), static_cast<unsigned>(code + 1024)});
  }
  return sorted;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("integers: every code stands for itself and comes back",
                        "[formats][rounding]", integers) {
  for (int code = TestType::min_code; code <= TestType::max_code; ++code) {
    const auto stored = static_cast<typename TestType::storage_type>(code);
    CHECK(TestType::decode(stored) == static_cast<float>(code));
    CHECK(TestType::encode(static_cast<float>(code)) == stored);
  }
}

TEMPLATE_LIST_TEST_CASE("integers: encode picks the nearest code, ties to even, and saturates",
                        "[formats][rounding]", integers) {
  const std::vector<coded_value> sorted = all_codes<TestType>();
  std::vector<float> points = telling_points(sorted);
  for (float x = -600.0f; x <= 600.0f; x += 0.125f) points.push_back(x);
  for (const float x : {1e-45f, 1e-38f, 1e9f, 0x1p22f, 0x1p23f, 0x1p24f, 3e38f,
                        std::numeric_limits<float>::max(), infinity}) {
    points.push_back(x);
    points.push_back(-x);
  }
  for (const float x : points) {
    INFO("x = " << x);
    const int wanted = static_cast<int>(nearest(sorted, static_cast<double>(x))) - 1024;
    CHECK(static_cast<int>(TestType::encode(x)) == wanted);
  }
}

TEMPLATE_LIST_TEST_CASE("integers: NaN and both zeros give 0", "[formats][rounding]", integers) {
  CHECK(TestType::encode(std::numeric_limits<float>::quiet_NaN()) == 0);
  CHECK(TestType::encode(-std::numeric_limits<float>::quiet_NaN()) == 0);
  CHECK(TestType::encode(0.0f) == 0);
  CHECK(TestType::encode(-0.0f) == 0);
}

TEMPLATE_LIST_TEST_CASE("integers: name, bits and range agree", "[formats]", integers) {
  const bool is_unsigned = TestType::min_code == 0;
  CHECK(std::string(TestType::name) ==
        (is_unsigned ? "uint" : "int") + std::to_string(TestType::bits));
  CHECK(TestType::max_code == (1 << (is_unsigned ? TestType::bits : TestType::bits - 1)) - 1);
  CHECK(TestType::max_finite == static_cast<float>(TestType::max_code));
  CHECK(qp::is_unsigned_format<TestType> == is_unsigned);
  CHECK(std::is_empty_v<TestType>);
}

TEST_CASE("integers: the symmetric range leaves out the lowest code", "[formats][rounding]") {
  CHECK(qp::int8::min_code == -128);
  CHECK(qp::int8::encode(-1e9f) == -128);
  CHECK(qp::int_n<8, qp::code_range::symmetric>::encode(-1e9f) == -127);
}

TEST_CASE("round_to_code: rounds any number that its range allows", "[formats][rounding]") {
  for (const float x : {0.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 1048576.5f, 1048577.5f, -2097151.5f,
                        4194303.5f, -4194303.5f}) {
    INFO("x = " << x);
    // std::nearbyint rounds to even in the default rounding mode.
    CHECK(qp::round_to_code(x, -0x1p22f, 0x1p22f) == static_cast<std::int32_t>(std::nearbyint(x)));
  }
  CHECK(qp::round_to_code(infinity, -0x1p22f, 0x1p22f) == 1 << 22);
  CHECK(qp::round_to_code(-infinity, -0x1p22f, 0x1p22f) == -(1 << 22));
}
