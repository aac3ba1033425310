// SPDX-License-Identifier: Apache-2.0

#include "qompose/formats/fixed_point.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "formats/nearest.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using qompose_tests::coded_value;
using qompose_tests::nearest;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// One instance of `fixed_point`, as functions, so that one test visits all of them.
struct fixed_point_row {
  std::string name;
  int bits;
  int fraction_bits;
  int lowest;  ///< the smallest code made
  int (*encode)(float);
  float (*decode)(int);
  float (*nearest)(float);
  float max_finite;

  [[nodiscard]] double value_of(int code) const {
    return std::ldexp(static_cast<double>(code), -fraction_bits);
  }
  [[nodiscard]] int highest() const { return (1 << (bits - 1)) - 1; }
  /// Codes by value, counted from an even offset so that they keep their parity.
  [[nodiscard]] std::vector<coded_value> codes() const {
    std::vector<coded_value> sorted;
    for (int code = lowest; code <= highest(); ++code) {
      sorted.push_back({value_of(code), static_cast<unsigned>(code + 1024)});
    }
    return sorted;
  }
};

template <class Format>
fixed_point_row row_of(int lowest) {
  static_assert(qp::number_format<Format> && !qp::integer_format<Format>);
  return {std::string(Format::name),
          Format::bits,
          Format::fraction_bits,
          lowest,
          [](float value) { return static_cast<int>(Format::encode(value)); },
          [](int code) { return Format::decode(static_cast<std::int8_t>(code)); },
          [](float value) { return Format::nearest(value); },
          Format::max_finite};
}

template <int Bits, int... FractionBits>
void add_rows(std::vector<fixed_point_row>& rows, std::integer_sequence<int, FractionBits...>) {
  constexpr int lowest = -(1 << (Bits - 1));
  (rows.push_back(row_of<qp::fixed_point<Bits, FractionBits>>(lowest + 1)), ...);
  (rows.push_back(row_of<qp::fixed_point<Bits, FractionBits, qp::code_range::full>>(lowest)), ...);
}

/// Every width and place of the point, with and without the lowest code.
std::vector<fixed_point_row> all_rows() {
  std::vector<fixed_point_row> rows;
  [&]<int... Less>(std::integer_sequence<int, Less...>) {
    (add_rows<Less + 2>(rows, std::make_integer_sequence<int, Less + 2>{}), ...);
  }(std::make_integer_sequence<int, 7>{});
  return rows;
}

}  // namespace

TEST_CASE("fixed_point: every code is its integer over a power of two and comes back",
          "[formats][rounding]") {
  const std::vector<fixed_point_row> rows = all_rows();
  CHECK(rows.size() == 2 * (2 + 3 + 4 + 5 + 6 + 7 + 8));
  for (const fixed_point_row& row : rows) {
    INFO(row.name << " from " << row.lowest);
    int wrong = 0;
    for (int code = row.lowest; code <= row.highest(); ++code) {
      wrong += static_cast<double>(row.decode(code)) != row.value_of(code);
      wrong += row.encode(row.decode(code)) != code;
    }
    CHECK(wrong == 0);
    CHECK(static_cast<double>(row.max_finite) == row.value_of(row.highest()));
    CHECK(row.name == "fixed_point<" + std::to_string(row.bits) + ", " +
                          std::to_string(row.fraction_bits) + ">");
    // What other software stored may hold the code that a symmetric range leaves out.
    const int left_out = -row.highest() - 1;
    CHECK(static_cast<double>(row.decode(left_out)) == row.value_of(left_out));
  }
}

TEST_CASE("fixed_point: encode picks the nearest code, ties to even, and saturates",
          "[formats][rounding]") {
  const std::vector<float> edges = qompose_tests::edge_floats();
  for (const fixed_point_row& row : all_rows()) {
    INFO(row.name << " from " << row.lowest);
    const std::vector<coded_value> sorted = row.codes();
    int wrong = 0;
    float first = 0.0f;
    const auto check = [&](float x) {
      const int wanted =
          std::isnan(x) ? 0 : static_cast<int>(nearest(sorted, static_cast<double>(x))) - 1024;
      const bool right =
          row.encode(x) == wanted && static_cast<double>(row.nearest(x)) == row.value_of(wanted);
      if (!right && wrong++ == 0) first = x;
    };
    for (const float x : qompose_tests::telling_points(sorted)) check(x);
    for (const float x : edges) check(x);
    qompose_tests::for_floats(262'147, check);
    INFO("first at " << first);
    CHECK(wrong == 0);
  }
}

TEST_CASE("fixed_point: the elements of MXINT8 leave out -2 and saturate", "[formats][rounding]") {
  using mxint8 = qp::fixed_point<8, 6>;
  CHECK(mxint8::max_finite == 1.984375f);
  CHECK(mxint8::encode(-2.0f) == -127);
  CHECK(mxint8::encode(infinity) == 127);
  CHECK(mxint8::encode(-infinity) == -127);
  CHECK(mxint8::encode(std::numeric_limits<float>::max()) == 127);  // 64 times it is infinite
  CHECK(mxint8::encode(std::numeric_limits<float>::quiet_NaN()) == 0);
  CHECK(mxint8::encode(-0.0f) == 0);
  CHECK(mxint8::nearest(-2.6875f / 4) == -0.671875f);
  CHECK(qp::fixed_point<8, 6, qp::code_range::full>::encode(-2.0f) == -128);
  CHECK(qp::fixed_point<8, 6, qp::code_range::full>::decode(-128) == -2.0f);
}
