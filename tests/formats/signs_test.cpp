// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "formats/nearest.hpp"
#include "qompose/formats/binary.hpp"
#include "qompose/formats/ternary.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Edges, a grid about the thresholds that matter, and every 65537th float.
template <class F>
void for_points(F&& check) {
  for (const float x : qompose_tests::edge_floats()) check(x);
  for (float x = -3.0f; x <= 3.0f; x += 0x1p-10f) {
    check(x);
    check(std::nextafter(x, -infinity));
    check(std::nextafter(x, infinity));
  }
  qompose_tests::for_floats(65'537, check);
}

}  // namespace

TEST_CASE("ternary: codes 0, 1, 2 are -1, 0, 1; the unused code reads as 0", "[formats]") {
  CHECK(qp::ternary::decode(0) == -1.0f);
  CHECK(qp::ternary::decode(1) == 0.0f);
  CHECK(qp::ternary::decode(2) == 1.0f);
  CHECK(qp::ternary::decode(3) == 0.0f);
  for (unsigned code = 0; code < 3; ++code) {
    const auto stored = static_cast<std::uint8_t>(code);
    CHECK(qp::ternary::encode(qp::ternary::decode(stored)) == stored);
  }
  CHECK(qp::ternary::name == "ternary");
  CHECK(qp::ternary::bits == 2);
  CHECK(qp::ternary::max_finite == 1.0f);
}

TEST_CASE("ternary: encode picks the nearest of -1, 0 and 1, ties and NaN to 0",
          "[formats][rounding]") {
  int wrong = 0;
  for_points([&](float x) {
    const int sign = std::abs(x) > 0.5f ? (std::signbit(x) ? -1 : 1) : 0;
    wrong += static_cast<int>(qp::ternary::encode(x)) != 1 + (std::isnan(x) ? 0 : sign);
  });
  CHECK(wrong == 0);
  CHECK(qp::ternary::encode(0.5f) == 1);
  CHECK(qp::ternary::encode(-0.5f) == 1);
  CHECK(qp::ternary::encode(std::nextafter(0.5f, 1.0f)) == 2);
  CHECK(qp::ternary::encode(std::nextafter(-0.5f, -1.0f)) == 0);
  CHECK(qp::ternary::encode(-infinity) == 0);
  CHECK(qp::ternary::encode(not_a_number) == 1);
}

TEST_CASE("ternary: encode_beyond keeps the signs of what exceeds the threshold",
          "[formats][rounding]") {
  for (const float threshold : {0.0f, 0x1p-149f, 0.25f, 1.82f, 1e30f}) {
    INFO("threshold " << threshold);
    int wrong = 0;
    for_points([&](float x) {
      const int sign = std::abs(x) > threshold ? (std::signbit(x) ? -1 : 1) : 0;
      wrong += static_cast<int>(qp::ternary::encode_beyond(x, threshold)) !=
               1 + (std::isnan(x) ? 0 : sign);
    });
    CHECK(wrong == 0);
    CHECK(qp::ternary::encode_beyond(threshold, threshold) == 1);
    CHECK(qp::ternary::encode_beyond(-threshold, threshold) == 1);
  }
  // The worked numbers of Ternary Weight Networks: 0.7 times the mean magnitude is 1.82.
  const std::vector<float> weights{1.1f, 2.2f, 0.1f, -0.1f, -5.5f, -6.6f};
  const std::vector<int> wanted{1, 2, 1, 1, 0, 0};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    CHECK(static_cast<int>(qp::ternary::encode_beyond(weights[i], 1.82f)) == wanted[i]);
  }
}

TEST_CASE("binary: both zeros are 1, negative numbers and NaN are -1", "[formats][rounding]") {
  int wrong = 0;
  for_points([&](float x) {
    const bool negative = std::isnan(x) || (std::signbit(x) && x != 0.0f);
    wrong += qp::binary::encode(x) != (negative ? 0 : 1);
  });
  CHECK(wrong == 0);
  CHECK(qp::binary::encode(0.0f) == 1);
  CHECK(qp::binary::encode(-0.0f) == 1);
  CHECK(qp::binary::encode(-std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(qp::binary::encode(not_a_number) == 0);
  CHECK(qp::binary::decode(0) == -1.0f);
  CHECK(qp::binary::decode(1) == 1.0f);
  CHECK(qp::binary::name == "binary");
  CHECK(qp::binary::bits == 1);
  CHECK(qp::binary::max_finite == 1.0f);
}
