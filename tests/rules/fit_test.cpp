// SPDX-License-Identifier: Apache-2.0

#include "qompose/rules/absmax.hpp"
#include "qompose/rules/mse_search.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "qompose/formats/int_n.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::random_matrix;

namespace {

/// A group with a float scale, which is signed, or one that cannot be.
template <class Element, qp::offset_kind Offset, bool SignedScale>
using group =
    qp::group_format<Element, Offset, std::conditional_t<SignedScale, qp::fp32, qp::uint8>>;

template <class Element, qp::offset_kind Offset, bool SignedScale = false, class Rule>
qp::fitted_scale fit(const Rule& rule, const std::vector<float>& values) {
  return rule.template fit<group<Element, Offset, SignedScale>>(values.data(), values.size());
}

/// Sum of squared errors of values stored with a fitted scale, in double.
template <class Element>
double squared_error(const std::vector<float>& values, qp::fitted_scale fitted) {
  double sum = 0.0;
  for (const float x : values) {
    const float code = Element::decode(Element::encode((x - fitted.minimum) / fitted.scale));
    const double stored = static_cast<double>(fitted.scale) * static_cast<double>(code) +
                          static_cast<double>(fitted.minimum);
    sum += (static_cast<double>(x) - stored) * (static_cast<double>(x) - stored);
  }
  return sum;
}

template <class Element, qp::offset_kind Offset, bool SignedScale = false>
void check_search_is_no_worse() {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    for (const std::size_t n : {1u, 2u, 7u, 32u, 128u}) {
      std::vector<float> values = random_matrix(1, n, seed).values();
      if (seed % 3 == 0) values[n / 2] *= 10.0f;
      const double plain =
          squared_error<Element>(values, fit<Element, Offset>(qp::absmax{}, values));
      const double searched = squared_error<Element>(
          values, fit<Element, Offset, SignedScale>(qp::mse_search{}, values));
      INFO("seed " << seed << ", n " << n);
      // The search adds its errors up in float: n roundings of 2^-24, far below 2^-16; and where
      // the fit is exact, all that is left are roundings of the largest value.
      double peak = 0.0;
      for (const float x : values) peak = std::fmax(peak, std::abs(static_cast<double>(x)));
      CHECK(searched <= plain * (1 + 0x1p-16) + static_cast<double>(n) * 0x1p-44 * peak * peak);
    }
  }
}

/// A rule from outside the library: a step of one quarter.
struct quarter {
  template <class Group>
  qp::fitted_scale fit(const float*, std::size_t) const {
    return {0.25f};
  }
};

}  // namespace

TEST_CASE("absmax: maps the largest magnitude to the largest code", "[recipe][fit]") {
  using enum qp::offset_kind;
  const std::vector<float> values{-1.0f, 0.0f, 0.4f, 2.0f};
  CHECK(fit<qp::int8, none>(qp::absmax{}, values).scale == 2.0f / 127.0f);
  CHECK(fit<qp::int4, none>(qp::absmax{}, values).scale == 2.0f / 7.0f);
  CHECK(fit<qp::int4, none>(qp::absmax{}, {-5.0f, 2.0f}).scale == 5.0f / 7.0f);
  CHECK(fit<qp::int4, none>(qp::absmax{}, {0.0f, -0.0f}).scale == 0.0f);
}

TEST_CASE("absmax: with an offset the range of the values becomes the range of the codes",
          "[recipe][fit]") {
  using enum qp::offset_kind;
  const qp::fitted_scale both = fit<qp::uint8, zero_point>(qp::absmax{}, {-1.0f, 0.4f, 2.0f});
  CHECK(both.scale == 3.0f / 255.0f);
  CHECK(both.minimum == -1.0f);
  // Zero points keep 0 in the range, minima do not.
  const qp::fitted_scale above = fit<qp::uint4, zero_point>(qp::absmax{}, {2.0f, 3.0f});
  CHECK(above.scale == 3.0f / 15.0f);
  CHECK(above.minimum == 0.0f);
  const qp::fitted_scale below = fit<qp::uint4, zero_point>(qp::absmax{}, {-2.0f, -3.0f});
  CHECK(below.scale == 3.0f / 15.0f);
  CHECK(below.minimum == -3.0f);
  const qp::fitted_scale floating = fit<qp::uint4, minimum>(qp::absmax{}, {2.0f, 3.0f});
  CHECK(floating.scale == 1.0f / 15.0f);
  CHECK(floating.minimum == 2.0f);
  CHECK(fit<qp::uint4, minimum>(qp::absmax{}, {2.0f, 2.0f}).scale == 0.0f);
}

TEST_CASE("mse_search: its squared error is never above that of absmax", "[recipe][fit]") {
  using enum qp::offset_kind;
  check_search_is_no_worse<qp::int_n<2>, none>();
  check_search_is_no_worse<qp::int4, none>();
  check_search_is_no_worse<qp::int8, none>();
  check_search_is_no_worse<qp::int4, none, true>();
  check_search_is_no_worse<qp::int_n<2>, none, true>();
  check_search_is_no_worse<qp::uint4, minimum>();
  check_search_is_no_worse<qp::uint4, zero_point>();
}

TEST_CASE("mse_search: clips an outlier when that pays", "[recipe][fit]") {
  std::vector<float> values = random_matrix(1, 128, 3).values();
  values[60] = 10.0f;
  using enum qp::offset_kind;
  const float plain = fit<qp::int4, none>(qp::absmax{}, values).scale;
  const float searched = fit<qp::int4, none>(qp::mse_search{}, values).scale;
  CHECK(searched < plain);
  CHECK(searched >= 0.2f * plain);
}

TEST_CASE("mse_search: refines the scale of given codes by regression", "[recipe][fit]") {
  using enum qp::offset_kind;
  // Codes -7, 0, 3 and 7 whatever the ratio near 1; their best scale is sum(x code) / sum(code^2).
  const std::vector<float> values{-7.0f, 0.1f, 2.9f, 6.8f};
  const float scale = fit<qp::int4, none>(qp::mse_search{.grid = 1}, values).scale;
  CHECK(scale == Approx((7.0 * 7.0 + 2.9 * 3.0 + 6.8 * 7.0) / (49.0 + 9.0 + 49.0)));
  // With a minimum both are found: codes 0, 8, 15 for these.
  const qp::fitted_scale line =
      fit<qp::uint4, minimum>(qp::mse_search{.grid = 1}, {1.0f, 9.1f, 16.0f});
  // Least squares of 1, 9.1, 16 over 0, 8, 15: means 8.7 and 23 / 3.
  const double mean = 23.0 / 3.0;
  const double slope =
      ((0 - mean) * (1.0 - 8.7) + (8 - mean) * (9.1 - 8.7) + (15 - mean) * (16 - 8.7)) /
      ((0 - mean) * (0 - mean) + (8 - mean) * (8 - mean) + (15 - mean) * (15 - mean));
  CHECK(line.scale == Approx(slope));
  CHECK(line.minimum == Approx(8.7 - slope * mean));
}

TEST_CASE("mse_search: a negative scale puts the lowest code to use, where scales may be negative",
          "[recipe][fit]") {
  using enum qp::offset_kind;
  const std::vector<float> values{8.0f, 3.0f, -7.0f, 1.0f};
  CHECK(fit<qp::int4, none, true>(qp::mse_search{}, values).scale == -1.0f);
  CHECK(fit<qp::int4, none, false>(qp::mse_search{}, values).scale > 0.0f);
}

TEST_CASE("mse_search: keeps what is exact, and groups of zeros stay empty", "[recipe][fit]") {
  using enum qp::offset_kind;
  CHECK(fit<qp::int4, none>(qp::mse_search{}, {0.0f, 0.0f}).scale == 0.0f);
  CHECK(fit<qp::int4, none, true>(qp::mse_search{}, {0.0f, 0.0f}).scale == 0.0f);
  CHECK(fit<qp::int4, none>(qp::mse_search{}, {-7.0f, 3.0f, 7.0f}).scale == 1.0f);
  CHECK(fit<qp::uint4, minimum>(qp::mse_search{}, {2.0f, 2.0f}).scale == 0.0f);
}

TEST_CASE("fitting_rule: any value with a fit is one", "[recipe][fit]") {
  CHECK(qp::fitting_rule<qp::absmax>);
  CHECK(qp::fitting_rule<qp::mse_search>);
  CHECK(qp::fitting_rule<quarter>);
  CHECK_FALSE(qp::fitting_rule<int>);
}
