// SPDX-License-Identifier: Apache-2.0

#include "qompose/core/random.hpp"

#include <cmath>
#include <cstdint>

#include "support/catch.hpp"

namespace qp = qompose;

TEST_CASE("random_source: gives the numbers that SplitMix64 gives everywhere", "[core][random]") {
  // Published with the generator's reference code for these seeds.
  qp::random_source zero(0);
  CHECK(zero.bits() == 0xe220'a839'7b1d'cdafu);
  CHECK(zero.bits() == 0x6e78'9e6a'a1b9'65f4u);
  CHECK(zero.bits() == 0x06c4'5d18'8009'454fu);
  qp::random_source other(1234567);
  CHECK(other.bits() == 6457827717110365317u);
  CHECK(other.bits() == 3203168211198807973u);
}

TEST_CASE("random_source: uniform numbers are the upper 53 bits", "[core][random]") {
  qp::random_source random(0);
  CHECK(random.uniform() == static_cast<double>(0xe220'a839'7b1d'cdafu >> 11) / 0x1p53);
  double lowest = 1.0;
  double highest = 0.0;
  double sum = 0.0;
  constexpr int n = 10000;
  for (int i = 0; i < n; ++i) {
    const double u = random.uniform();
    lowest = std::fmin(lowest, u);
    highest = std::fmax(highest, u);
    sum += u;
  }
  CHECK(lowest >= 0.0);
  CHECK(highest < 1.0);
  // The mean of n uniform numbers deviates by 0.289 / sqrt(n); four of these.
  CHECK(std::abs(sum / n - 0.5) < 4 * 0.289 / std::sqrt(static_cast<double>(n)));
}

TEST_CASE("random_source: normal numbers have mean 0 and variance 1 and are finite",
          "[core][random]") {
  qp::random_source random(42);
  constexpr int n = 20000;
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < n; ++i) {
    const double x = random.normal();
    REQUIRE(std::isfinite(x));
    sum += x;
    squares += x * x;
  }
  // Standard deviations of the two estimates: 1 / sqrt(n) and sqrt(2 / n); four of these.
  CHECK(std::abs(sum / n) < 4 / std::sqrt(static_cast<double>(n)));
  CHECK(std::abs(squares / n - 1.0) < 4 * std::sqrt(2.0 / n));
}
