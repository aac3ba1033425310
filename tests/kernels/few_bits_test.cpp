// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <tuple>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// Bit 0 stands for one number and bit 1 for another, of which one is 0.
template <int kOfZero, int kOfOne>
struct two_values {
  using storage_type = std::uint8_t;

  static constexpr std::string_view name = "two_values";
  static constexpr int bits = 1;
  static constexpr float max_finite = static_cast<float>(kOfZero + kOfOne);

  static constexpr storage_type encode(float value) noexcept {
    return (2.0f * value > max_finite) == (kOfOne > kOfZero) ? 1 : 0;
  }
  static constexpr float decode(storage_type code) noexcept {
    return static_cast<float>(code == 0 ? kOfZero : kOfOne);
  }
};

/// -3, -1, 1 and 3: what products take lies between the bits.
struct odd_numbers {
  using storage_type = std::uint8_t;

  static constexpr std::string_view name = "odd_numbers";
  static constexpr int bits = 2;
  static constexpr float max_finite = 3.0f;

  static constexpr storage_type encode(float value) noexcept {
    return value < -2.0f ? 0 : value < 0.0f ? 1 : value < 2.0f ? 2 : 3;
  }
  static constexpr float decode(storage_type code) noexcept {
    return 2.0f * static_cast<float>(code & 3) - 3.0f;
  }
};

template <class Spec, class Activation = qp::a8_token>
using with_codes = qp::recipe<qp::weight<Spec>, qp::activation<Activation>>;

using few_bit_recipes =
    std::tuple<with_codes<qp::quant<qp::binary, qp::per_group<128>, qp::scale<qp::fp16>>>,
               with_codes<qp::quant<qp::binary, qp::per_group<7>>>,
               with_codes<qp::binary_channel, qp::quant<qp::int8, qp::per_group<64>>>,
               with_codes<qp::quant<two_values<3, 0>, qp::per_channel>>,
               with_codes<qp::quant<two_values<0, 5>, qp::per_channel>>,
               with_codes<qp::quant<odd_numbers, qp::per_channel>>, qp::w1a32>;

}  // namespace

TEST_CASE("few bits: weights of one bit equal the scalar reference for any shape",
          "[kernels][few_bits]") {
  for (const product_shape& s : product_shapes()) {
    check_on_each_target<with_codes<qp::binary_channel>>(s);
  }
}

TEMPLATE_LIST_TEST_CASE("few bits: groups, floats and formats of few bits on every target",
                        "[kernels][few_bits]", few_bit_recipes) {
  for (const product_shape& s : few_shapes) check_on_each_target<TestType>(s);
}

TEST_CASE("few bits: no sum overflows at the ends of the codes", "[kernels][few_bits]") {
  using recipe = with_codes<qp::binary_channel>;
  for (const std::size_t in : {32u, 256u, 288u, 5000u}) {
    matrix w(18, in);
    for (std::size_t r = 0; r < w.rows(); ++r) {
      for (std::size_t c = 0; c < in; ++c) {
        w(r, c) = r % 3 == 0 ? -1.0f : r % 3 == 1 ? 1.0f : (c % 2 == 0 ? -1.0f : 1.0f);
      }
    }
    const auto layer = qp::compress<recipe>(w.view());
    matrix x(5, in);
    for (std::size_t t = 0; t < x.rows(); ++t) {
      for (std::size_t c = 0; c < in; ++c) {
        const bool positive = t == 1 || (t == 2 && c % 2 == 0) || (t == 3 && c % 4 < 2);
        x(t, c) = positive ? 1.0f : -1.0f;
      }
    }
    const expected_products expected = expected_of(layer, x);
    on_each_target([&]<class Isa>() {
      INFO("in " << in);
      check_products(expected, run_on<Isa>(layer, x));
    });
  }
}
