// SPDX-License-Identifier: Apache-2.0

#include "qompose/formats/approximate.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "formats/nearest.hpp"
#include "qompose/formats/fp6_e3m2.hpp"
#include "qompose/packing/integer_image.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

/// A format of one's own with signed codes: their cubes, and a little more.
struct cubes {
  using storage_type = std::int8_t;
  static constexpr std::string_view name = "cubes";
  static constexpr int bits = 3;
  static constexpr float max_finite = 27.3f;
  static constexpr storage_type encode(float value) noexcept {
    int best = -4;
    for (int code = -3; code < 4; ++code) {
      const float off = decode(static_cast<storage_type>(code)) - value;
      const float best_off = decode(static_cast<storage_type>(best)) - value;
      best = off * off < best_off * best_off ? code : best;
    }
    return static_cast<storage_type>(best);
  }
  static constexpr float decode(storage_type code) noexcept {
    const auto c = static_cast<float>(code);
    return c * c * c + 0.25f * c;
  }
};

/// By definition, in double.
template <class Format>
void check_values(double step, double error) {
  using rounded = qp::approximate<Format>;
  INFO(Format::name);
  CHECK(rounded::name == Format::name);
  CHECK(static_cast<double>(rounded::step) == step);
  double found = 0.0;
  using code_type = typename Format::storage_type;
  const int lowest = std::is_signed_v<code_type> ? -(1 << (Format::bits - 1)) : 0;
  for (int index = 0; index < 1 << Format::bits; ++index) {
    const auto code = static_cast<code_type>(index + lowest);
    const double value = static_cast<double>(Format::decode(code));
    const double wanted = std::min(std::nearbyint(value / step), 127.0) * step;
    CHECK(static_cast<double>(rounded::decode(code)) == wanted);
    found = std::max(found, std::abs(wanted - value));
  }
  CHECK(found == error);
  CHECK(static_cast<double>(rounded::error) == error);
  int wrong = 0;
  qompose_tests::for_floats(262'147,
                            [&](float x) { wrong += rounded::encode(x) != Format::encode(x); });
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("approximate: values are rounded to multiples of a step, codes stay",
          "[formats][rounding]") {
  check_values<qp::nf4>(1.0 / 128, 1.0 / 128);
  check_values<qp::fp6_e3m2>(0.25, 0.125);
  check_values<cubes>(1.0, 0.5);
}

TEST_CASE("approximate: has an integer image, as the format has not", "[formats][image]") {
  CHECK_FALSE(qp::integer_image<qp::nf4>::exists);
  using image = qp::integer_image<qp::approximate<qp::nf4>>;
  CHECK(image::exponent == 7);
  CHECK(image::lowest == -128);
  CHECK(image::most_raised == 255);
  CHECK(qp::integer_image<qp::approximate<qp::fp6_e3m2>>::exponent == 2);
}
