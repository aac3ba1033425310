// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/on_each_target.hpp"
#include "qompose/core/fixed_point_multiplier.hpp"
#include "qompose/core/random.hpp"
#include "qompose/kernels/integer_arguments.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using qompose_tests::on_each_target;

namespace {

constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t highest = std::numeric_limits<std::int32_t>::max();

/// gemmlowp's SaturatingRoundingDoublingHighMul, as published: a division that truncates.
std::int32_t published_product(std::int32_t a, std::int32_t b) {
  if (a == lowest && b == lowest) return highest;
  const std::int64_t product = std::int64_t{a} * std::int64_t{b};
  const std::int64_t nudge = product >= 0 ? std::int64_t{1} << 30 : 1 - (std::int64_t{1} << 30);
  return static_cast<std::int32_t>((product + nudge) / (std::int64_t{1} << 31));
}

/// Sums that meet every tie and border of 32 bits, then random ones.
std::vector<std::int32_t> sums() {
  std::vector<std::int32_t> values = {lowest, lowest + 1, highest, highest - 1};
  for (std::int32_t i = -40; i <= 40; ++i) values.push_back(i);
  for (int n = 2; n < 31; ++n) {
    for (const std::int32_t near : {-1, 0, 1}) {
      values.push_back((std::int32_t{1} << n) + near);
      values.push_back(-(std::int32_t{1} << n) + near);
      values.push_back(3 * (std::int32_t{1} << (n - 2)) + near);
    }
  }
  qp::random_source random(3);
  while (values.size() % 16 != 0 || values.size() < 1024) {
    values.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(random.bits())));
  }
  return values;
}

std::vector<qp::fixed_point_multiplier> multipliers(bool left) {
  std::vector<qp::fixed_point_multiplier> list;
  for (int shift = left ? -30 : 0; shift <= 31; ++shift) {
    for (const std::int32_t mantissa : {1 << 30, 1379800517, highest}) {
      list.push_back({mantissa, shift});
    }
  }
  list.push_back({0, 0});
  return list;
}

/// One row of sums, each with its own multiplier, against `multiply`.
template <class Isa, class Code>
void check(bool left, std::size_t rows) {
  const std::vector<std::int32_t> all = sums();
  const std::vector<qp::fixed_point_multiplier> table = multipliers(left);
  const std::size_t padded = (rows + 15) / 16 * 16;
  std::vector<std::int32_t> bias(padded);
  std::vector<std::int32_t> mantissas(padded);
  std::vector<std::int32_t> shifts(padded);
  std::vector<std::int32_t> values(padded);
  std::vector<Code> y(rows + 1);
  qp::detail::requantize_arguments a;
  a.bias = bias.data();
  a.mantissas = mantissas.data();
  a.shifts = shifts.data();
  a.has_left_shift = left;
  a.zero_point = std::is_signed_v<Code> ? -5 : 128;
  a.lowest = std::numeric_limits<Code>::min() + 1;
  a.highest = std::numeric_limits<Code>::max() - 2;
  a.rows = rows;
  a.y = y.data();
  const auto run = qp::detail::with_best_target<Isa>(
      []<class Target>() { return &Target::template requantize_row<Code>::Run; });

  std::size_t wrong = 0;
  for (std::size_t first = 0; first < all.size(); first += rows) {
    for (std::size_t m = 0; m < table.size(); ++m) {
      for (std::size_t r = 0; r < rows; ++r) {
        values[r] = all[(first + r) % all.size()];
        mantissas[r] = table[(m + r) % table.size()].mantissa;
        shifts[r] = table[(m + r) % table.size()].shift;
      }
      y[rows] = 77;
      run(a, values.data(), 0);
      for (std::size_t r = 0; r < rows; ++r) {
        const std::int64_t product = table[(m + r) % table.size()].multiply(values[r]);
        const std::int64_t code =
            std::clamp<std::int64_t>(product + a.zero_point, a.lowest, a.highest);
        wrong += std::int64_t{y[r]} != code;
      }
      wrong += y[rows] != 77;  // nothing is written past the last row
    }
  }
  INFO("rows " << rows << ", left " << left);
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("fixed_point_multiplier: the worked example", "[core][requantize]") {
  const auto m = qp::fixed_point_multiplier::from_scale(0.01 / 127.0 / (2.0 / 255.0));
  CHECK(m.mantissa == 1379800517);
  CHECK(m.shift == 6);
  CHECK(m.value() == Approx(0.010039370).epsilon(1e-7));
  CHECK(128 + m.multiply(10840) == 237);
  CHECK(128 + m.multiply(-2510) == 103);
}

TEST_CASE("fixed_point_multiplier: mantissas fill 31 bits, and what has none is refused",
          "[core][requantize]") {
  using qp::fixed_point_multiplier;
  CHECK(fixed_point_multiplier::from_scale(0.5).mantissa == 1 << 30);
  CHECK(fixed_point_multiplier::from_scale(0.5).shift == 0);
  // The mantissa of the number just below 1 rounds to 2^31 and is halved.
  CHECK(fixed_point_multiplier::from_scale(0x1.fffffffffffffp-1).mantissa == 1 << 30);
  CHECK(fixed_point_multiplier::from_scale(0x1.fffffffffffffp-1).shift == -1);
  CHECK(fixed_point_multiplier::from_scale(3.0).value() == 3.0);
  CHECK(fixed_point_multiplier::from_scale(3.0).multiply(-7) == -21);
  CHECK(fixed_point_multiplier::from_scale(0x1.fffffffffffffp29).shift == -30);
  CHECK(fixed_point_multiplier::from_scale(0x1p-32).multiply(highest) == 1);
  CHECK(fixed_point_multiplier::from_scale(0x1p-33).multiply(lowest) == 0);
  CHECK(fixed_point_multiplier::from_scale(0.0).multiply(highest) == 0);
  for (const double bad : {-1.0, 0x1p30, std::numeric_limits<double>::infinity(),
                           std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(fixed_point_multiplier::from_scale(bad), qp::argument_error);
  }
}

TEST_CASE("fixed_point_multiplier: rounds as published", "[core][requantize]") {
  const std::vector<std::int32_t> values = sums();
  std::size_t wrong = 0;
  for (const std::int32_t a : values) {
    for (std::size_t i = 0; i < values.size(); i += 7) {
      wrong += qp::rounding_doubling_high_product(a, values[i]) != published_product(a, values[i]);
    }
    for (int n = 0; n <= 31; ++n) {
      // Ties away from zero, in double: 32 bits fit.
      const double exact = static_cast<double>(a) / std::ldexp(1.0, n);
      wrong += qp::rounding_shift_right(a, n) != static_cast<std::int32_t>(std::round(exact));
    }
  }
  CHECK(qp::rounding_doubling_high_product(lowest, lowest) == highest);
  CHECK(wrong == 0);
}

TEST_CASE("fixed_point_multiplier: within one of the exact product, and seldom off",
          "[core][requantize]") {
  // The first rounding makes ties for the second, once in 2^shift; half of them go wrong.
  // Multipliers of real layers lie in this range.
  qp::random_source random(11);
  std::size_t off = 0;
  std::size_t far = 0;
  constexpr std::size_t count = 100000;
  for (std::size_t i = 0; i < count; ++i) {
    const double scale = std::exp2(-6.0 - 8.0 * random.uniform());
    const auto m = qp::fixed_point_multiplier::from_scale(scale);
    const auto acc = static_cast<std::int32_t>((random.uniform() - 0.5) * 512.0 / scale);
    const double exact = std::nearbyint(static_cast<double>(acc) * scale);
    const double difference = std::abs(m.multiply(acc) - exact);
    off += difference > 0.0;
    far += difference > 1.0;
  }
  CHECK(far == 0);
  CHECK(off < count / 100);
}

TEST_CASE("requantize: equals the scalar reference bit for bit on every target",
          "[kernels][requantize]") {
  on_each_target([]<class Isa>() {
    for (const std::size_t rows : {1u, 3u, 8u, 16u, 17u, 31u, 64u}) {
      for (const bool left : {false, true}) {
        check<Isa, std::int8_t>(left, rows);
        check<Isa, std::uint8_t>(left, rows);
      }
    }
  });
}
