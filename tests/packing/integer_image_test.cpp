// SPDX-License-Identifier: Apache-2.0

#include "qompose/packing/integer_image.hpp"

#include <cstddef>
#include <cstdint>

#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

TEST_CASE("integer_image: is found from decode alone", "[packing][image]") {
  const auto check = []<class Format>(int exponent, int lowest, int most_raised, int field_shift) {
    INFO(Format::name);
    using image = qp::integer_image<Format>;
    CHECK(image::exponent == exponent);
    CHECK(image::lowest == lowest);
    CHECK(image::most_raised == most_raised);
    CHECK(image::field_shift == field_shift);
  };
  constexpr int no_shift = qp::integer_image<qp::int8>::no_shift;
  check.operator()<qp::int8>(0, -128, 255, 0);
  check.operator()<qp::uint8>(0, 0, 255, 0);
  check.operator()<qp::int4>(0, -8, 15, 0);
  check.operator()<qp::ternary>(0, -1, 2, 0);
  check.operator()<qp::binary>(0, -1, 2, 1);
  check.operator()<qp::fp4_e2m1>(1, -12, 24, no_shift);
  check.operator()<qp::fp6_e2m3>(3, -60, 120, no_shift);
  check.operator()<qp::fixed_point<8, 6>>(6, -128, 255, 0);
  CHECK_FALSE(qp::integer_image<qp::fp6_e3m2>::exists);
  CHECK_FALSE(qp::integer_image<qp::fp8_e4m3>::exists);
  CHECK_FALSE(qp::integer_image<qp::nf4>::exists);
  CHECK_FALSE(qp::integer_image<qp::codebook<16>>::exists);
  CHECK_FALSE(qp::integer_image<qp::fp16>::exists);
  for (std::size_t field = 0; field < 16; ++field) {
    const float value = qp::fp4_e2m1::decode(static_cast<std::uint8_t>(field));
    CHECK(static_cast<float>(qp::integer_image<qp::fp4_e2m1>::table[field] - 12) == 2 * value);
  }
}
