// SPDX-License-Identifier: Apache-2.0

#include "qompose/quantize/progressive.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "qompose/nn/compress.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

namespace {

using spec = qp::w4_progressive;

/// The integer that an element runs as.
int image(const qp::quantized_matrix<spec>& q, std::size_t r, std::size_t c) {
  return (q.code(r, c) - q.zeros().code(r, c / 128)) * q.scale_code(r, c / 128);
}

}  // namespace

TEST_CASE("progressive: follows its two roundings", "[quantize][progressive]") {
  matrix x = random_matrix(6, 300, 1);
  for (std::size_t c = 0; c < 300; ++c) x(5, c) = std::abs(x(5, c)) + 2.0f;
  for (const bool round_up : {false, true}) {
    const auto q = qp::quantize<spec>(x.view(), qp::progressive_absmax{.round_up = round_up});
    for (std::size_t r = 0; r < 6; ++r) {
      float peak = 0.0f;
      for (std::size_t c = 0; c < 300; ++c) peak = std::max(peak, std::abs(x(r, c)));
      const float outer = peak / 119.0f;
      CHECK(q.scales().scale(r, 0) == outer);
      for (std::size_t first = 0; first < 300; first += 128) {
        const std::size_t last = std::min<std::size_t>(first + 128, 300);
        double low = 0.0;
        double high = 0.0;
        for (std::size_t c = first; c < last; ++c) {
          const double inner = std::nearbyint(static_cast<double>(x(r, c) / outer));
          low = std::min(low, inner);
          high = std::max(high, inner);
        }
        const double exact = (high - low) / 15.0;
        const double scale = std::max(1.0, round_up ? std::ceil(exact) : std::nearbyint(exact));
        const double zero = std::clamp(std::nearbyint(-low / scale), 0.0, 15.0);
        const std::size_t g = first / 128;
        CHECK(static_cast<double>(q.scale_code(r, g)) == scale);
        CHECK(static_cast<double>(q.zeros().code(r, g)) == zero);
        bool codes = true;
        for (std::size_t c = first; c < last; ++c) {
          const double inner = std::nearbyint(static_cast<double>(x(r, c) / outer));
          const double code = std::clamp(std::nearbyint(inner / scale) + zero, 0.0, 15.0);
          codes = codes && static_cast<double>(q.code(r, c)) == code;
          // Half a step of at most 16 and half a step of 1; scales rounded down may clip 14.
          const double bound = round_up ? 8.5 : 14.5;
          codes = codes &&
                  std::abs(static_cast<double>(x(r, c)) - static_cast<double>(q.value(r, c))) <=
                      static_cast<double>(outer) * bound * (1 + 1e-5);
        }
        CHECK(codes);
      }
    }
  }
}

TEST_CASE("progressive: no pair of extremes leaves int8", "[quantize][progressive]") {
  // One group holds 119, so that the outer scale is 1, and another any pair of extremes.
  for (const bool round_up : {false, true}) {
    int largest = 0;
    matrix x(120, 256, 0.0f);
    for (int low = 0; low <= 119; ++low) {
      for (std::size_t r = 0; r < 120; ++r) {
        x(r, 0) = 119.0f;
        x(r, 1) = -119.0f;
        x(r, 128) = static_cast<float>(-low);
        x(r, 129) = static_cast<float>(r);
      }
      const auto q = qp::quantize<spec>(x.view(), qp::progressive_absmax{.round_up = round_up});
      for (std::size_t r = 0; r < 120; ++r) {
        for (const std::size_t c : {0u, 1u, 128u, 129u}) {
          largest = std::max(largest, std::abs(image(q, r, c)));
        }
      }
    }
    CHECK(largest <= 127);
  }
}

TEST_CASE("progressive: a row of zeros has scale 1 and values of zero", "[quantize][progressive]") {
  const matrix x(1, 130, 0.0f);
  const auto q = qp::quantize<spec>(x.view());
  CHECK(q.scales().scale(0, 0) == 1.0f);
  for (const std::size_t c : {0u, 129u}) CHECK(q.value(0, c) == 0.0f);
}

TEST_CASE("progressive: codes that break the promise are refused", "[quantize][progressive]") {
  auto q = qp::quantize<spec>(random_matrix(2, 130, 2).view());
  CHECK_NOTHROW(qp::detail::require_image("here", q));
  q.scales().set_code(1, 1, 200);
  q.zeros().set_code(1, 1, 0);
  q.set_code(1, 128, 15);
  CHECK_THROWS_AS(qp::detail::require_image("here", q), qp::value_error);
  CHECK_THROWS_WITH(qp::detail::require_image("here", q, 10),
                    contains("element (11, 128)") && contains("is 3000, expected -128 .. 127"));
}

TEST_CASE("progressive: a layer gives back its codes", "[quantize][progressive]") {
  const matrix w = random_matrix(20, 150, 3);
  const auto layer = qp::compress<spec>(w.view());
  const auto q = layer.quantized();
  CHECK(q.scales().scale(19, 0) == qp::quantize<spec>(w.view()).scales().scale(19, 0));
  CHECK(image(q, 19, 149) == image(qp::quantize<spec>(w.view()), 19, 149));
}
