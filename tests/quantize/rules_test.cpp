// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/rules/mse_search.hpp"
#include "qompose/rules/percentile.hpp"
#include "qompose/rules/signed_extreme.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

namespace {

template <class Spec, class Rule>
matrix stored(const matrix& x, const Rule& rule) {
  matrix out(x.rows(), x.cols());
  qp::dequantize(qp::quantize<Spec>(x.view(), rule), out.view());
  return out;
}

double squared_error(const matrix& x, const matrix& y) {
  double error = 0.0;
  for (std::size_t i = 0; i < x.values().size(); ++i) {
    const double d = static_cast<double>(x.values()[i]) - static_cast<double>(y.values()[i]);
    error += d * d;
  }
  return error;
}

template <class Spec, class Rule>
double error_of(const matrix& x, const Rule& rule) {
  return squared_error(x, stored<Spec>(x, rule));
}

/// The block that METHODS' worked numbers of the MX formats use.
matrix worked_block() {
  matrix x(1, 32, 0.0f);
  const float values[] = {1.0f, -2.7f, 0.3f, 0.02f, 5.1f, -0.6f, 7.9f};
  std::copy(std::begin(values), std::end(values), x.values().begin());
  return x;
}

template <class Spec>
void check_block(int scale_code, const std::vector<float>& wanted) {
  const matrix x = worked_block();
  const auto q = qp::quantize<Spec>(x.view());
  CHECK(static_cast<int>(q.scale_code(0, 0)) == scale_code);
  for (std::size_t c = 0; c < 32; ++c) {
    INFO(c);
    CHECK(q.value(0, c) == (c < wanted.size() ? wanted[c] : 0.0f));
  }
}

}  // namespace

TEST_CASE("MX formats: a worked block", "[quantize][rules]") {
  check_block<qp::mxfp8_e4m3>(121, {1.0f, -2.75f, 0.3125f, 0.01953125f, 5.0f, -0.625f, 7.0f});
  check_block<qp::mxfp6_e2m3>(127, {1.0f, -2.75f, 0.25f, 0.0f, 5.0f, -0.625f, 7.5f});
  check_block<qp::mxfp4>(127, {1.0f, -3.0f, 0.5f, 0.0f, 6.0f, -0.5f, 6.0f});
  check_block<qp::mxint8>(129, {1.0f, -2.6875f, 0.3125f, 0.0f, 5.125f, -0.625f, 7.875f});
}

TEST_CASE("MX formats: a block of zeros has scale byte 0 and codes of zero", "[quantize][rules]") {
  const matrix x(1, 40, 0.0f);
  const auto check = [&]<class Spec>() {
    for (const std::size_t g : {0u, 1u}) CHECK(qp::quantize<Spec>(x.view()).scale_code(0, g) == 0);
    CHECK(qp::quantize<Spec>(x.view()).code(0, 39) == 0);
  };
  check.operator()<qp::mxfp8_e4m3>();
  check.operator()<qp::mxfp4>();
  check.operator()<qp::mxint8>();
}

TEST_CASE("MX formats: a block times a power of two keeps its codes", "[quantize][rules]") {
  matrix x = random_matrix(4, 64, 3);
  const auto q = qp::quantize<qp::mxfp4>(x.view());
  for (float& value : x.values()) value *= 0x1p-20f;
  const auto scaled = qp::quantize<qp::mxfp4>(x.view());
  bool same = true;
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t c = 0; c < 64; ++c) same = same && q.code(r, c) == scaled.code(r, c);
    for (std::size_t g = 0; g < 2; ++g) {
      same = same && q.scale_code(r, g) == scaled.scale_code(r, g) + 20;
    }
  }
  CHECK(same);
}

TEMPLATE_TEST_CASE("MX rules: each picks the exponent that its definition names",
                   "[quantize][rules]", qp::fp8_e4m3, qp::fp8_e5m2, qp::fp6_e3m2, qp::fp6_e2m3,
                   qp::fp4_e2m1, (qp::fixed_point<8, 6>)) {
  using group = qp::group_format<TestType, qp::offset_kind::none, qp::e8m0>;
  const double top = static_cast<double>(TestType::max_finite);
  const int emax = static_cast<int>(std::floor(std::log2(top)));
  // The element's spacing at 2^emax, relative to it.
  const auto top_code = TestType::encode(TestType::max_finite);
  const double below = static_cast<double>(
      TestType::decode(static_cast<typename TestType::storage_type>(top_code - 1)));
  const double unit = (top - below) / std::exp2(emax);
  const auto exponent = [](const auto& rule, float a) {
    return static_cast<int>(std::log2(rule.template fit_range<group>({-a, 0.5f * a}).scale));
  };
  std::vector<float> peaks{1.0f,   0x1p-60f, 0x1p60f, 6.0f, 7.0f,  7.5f,      28.0f,    448.0f,
                           449.0f, 464.0f,   0.1f,    3.0f, 1.75f, 1.984375f, 57344.0f, 61440.0f};
  for (const float a : std::vector<float>(peaks)) {
    peaks.push_back(std::nextafter(a, 0.0f));
    peaks.push_back(std::nextafter(a, 1e38f));
  }
  for (const float a : peaks) {
    INFO("a = " << a);
    const double log = std::log2(static_cast<double>(a));
    CHECK(exponent(qp::mx_floor{}, a) == static_cast<int>(std::floor(log)) - emax);
    CHECK(exponent(qp::mx_ceil{}, a) == static_cast<int>(std::ceil(log)) - emax);
    const int s = exponent(qp::mx_rceil{}, a);
    CHECK(std::exp2(s) * top >= static_cast<double>(a));
    CHECK(std::exp2(s - 1) * top < static_cast<double>(a));
    // Half a unit of a's own binade is added.
    const double bumped = static_cast<double>(a) + unit / 2.0 * std::exp2(std::floor(log));
    CHECK(exponent(qp::mx_even{}, a) == static_cast<int>(std::floor(std::log2(bumped))) - emax);
  }
}

TEST_CASE("MX rules: scales stay within E8M0 at both ends of float", "[quantize][rules]") {
  for (const float peak : {1e-45f, 0x1p-149f, 0x1p-130f, 0x1p-126f, 2.5e38f}) {
    matrix x(1, 32, 0.0f);
    x(0, 3) = peak;
    x(0, 4) = -peak / 2.0f;
    const auto check = [&](const auto& rule) {
      const auto q = qp::quantize<qp::mxfp4>(x.view(), rule);
      INFO("peak = " << peak << ", scale code " << static_cast<int>(q.scale_code(0, 0)));
      CHECK(q.scale_code(0, 0) <= 254);
      CHECK(std::isfinite(q.value(0, 3)));
      CHECK(std::abs(q.value(0, 3) - peak) <= std::max(peak * 0.5f, 0x1p-128f));
    };
    check(qp::mx_floor{});
    check(qp::mx_ceil{});
    check(qp::mx_even{});
    check(qp::mx_rceil{});
    check(qp::mse_search{});
  }
}

TEST_CASE("ternary_threshold: the worked numbers of ternary and binary weights",
          "[quantize][rules]") {
  const matrix w(1, 6, {1.1f, 2.2f, 0.1f, -0.1f, -5.5f, -6.6f});
  const auto codes = [](const auto& q) {
    std::vector<int> result;
    for (std::size_t c = 0; c < 6; ++c) result.push_back(static_cast<int>(q.code(0, c)));
    return result;
  };
  const auto twn = qp::quantize<qp::ternary_channel>(w.view());
  CHECK(codes(twn) == std::vector<int>{1, 2, 1, 1, 0, 0});
  CHECK(twn.scale(0, 0) == Approx(4.76667));
  CHECK(error_of<qp::ternary_channel>(w, qp::default_rule{}) == Approx(11.717).epsilon(1e-3));

  const qp::ternary_threshold all{.scale = qp::ternary_scale::all_weights};
  CHECK(qp::quantize<qp::ternary_channel>(w.view(), all).scale(0, 0) == Approx(2.6));
  CHECK(error_of<qp::ternary_channel>(w, all) == Approx(25.8).epsilon(1e-2));

  const auto best = qp::quantize<qp::ternary_channel>(w.view(), qp::ternary_optimum{});
  CHECK(codes(best) == std::vector<int>{1, 1, 1, 1, 0, 0});
  CHECK(best.scale(0, 0) == Approx(6.05));
  CHECK(error_of<qp::ternary_channel>(w, qp::ternary_optimum{}) == Approx(6.675).epsilon(1e-3));

  const auto signs = qp::quantize<qp::binary_channel>(w.view());
  CHECK(codes(signs) == std::vector<int>{1, 1, 1, 0, 0, 0});
  CHECK(signs.scale(0, 0) == Approx(2.6));
  CHECK(error_of<qp::binary_channel>(w, qp::default_rule{}) == Approx(39.32).epsilon(1e-3));
}

TEST_CASE("ternary rules: a magnitude at the threshold becomes 0, zeros stay zeros",
          "[quantize][rules]") {
  // The mean magnitude is 1 and the threshold 0.5, exactly.
  const matrix w(1, 4, {0.5f, -0.5f, 1.5f, -1.5f});
  const auto q = qp::quantize<qp::ternary_channel>(w.view(), qp::ternary_threshold{.factor = 0.5f});
  CHECK(q.value(0, 0) == 0.0f);
  CHECK(q.value(0, 1) == 0.0f);
  CHECK(q.value(0, 3) == -1.5f);
  const matrix zeros(1, 5, 0.0f);
  for (std::size_t c = 0; c < 5; ++c) {
    CHECK(qp::quantize<qp::ternary_channel>(zeros.view()).value(0, c) == 0.0f);
    CHECK(qp::quantize<qp::ternary_channel>(zeros.view(), qp::ternary_optimum{}).value(0, c) ==
          0.0f);
    CHECK(std::abs(qp::quantize<qp::binary_channel>(zeros.view()).value(0, c)) <= 1.0f);
  }
  // A constant group survives.
  const matrix constant(1, 5, -0.25f);
  CHECK(qp::quantize<qp::ternary_channel>(constant.view()).value(0, 4) == -0.25f);
}

TEST_CASE("ternary_optimum: no threshold and scale do better", "[quantize][rules]") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const matrix w = random_matrix(1, 40, seed);
    const double best = error_of<qp::ternary_channel>(w, qp::ternary_optimum{});
    for (float factor = 0.0f; factor < 2.0f; factor += 0.05f) {
      // The scale is stored as a float, hence the slack.
      CHECK(best <=
            error_of<qp::ternary_channel>(w, qp::ternary_threshold{.factor = factor}) + 1e-5);
    }
  }
}

TEST_CASE("percentile: clips the largest magnitudes and no others", "[quantize][rules]") {
  matrix x(1, 1001, 0.0f);
  for (std::size_t c = 0; c < 1001; ++c)
    x(0, c) = static_cast<float>(c) * (c % 2 == 0 ? 1.0f : -1.0f);
  const auto q = qp::quantize<qp::w8_channel>(x.view(), qp::percentile{.keep = 0.9f});
  CHECK(q.scale(0, 0) == Approx(900.0 / 127.0));
  CHECK(q.code(0, 1000) == 127);
  // Between two values in order, and everything at 1.
  const matrix y(1, 3, {1.0f, -3.0f, 2.0f});
  CHECK(qp::quantize<qp::w8_channel>(y.view(), qp::percentile{.keep = 0.75f}).scale(0, 0) ==
        Approx(2.5 / 127.0));
  CHECK(qp::quantize<qp::w8_channel>(y.view(), qp::percentile{.keep = 1.0f}).scale(0, 0) ==
        3.0f / 127.0f);
  // With an offset, half of what is clipped is clipped at each end.
  using affine = qp::quant<qp::uint8, qp::per_channel, qp::scale<qp::fp32>, qp::minimum<qp::fp32>>;
  const auto a = qp::quantize<affine>(x.view(), qp::percentile{.keep = 0.8f});
  CHECK(a.zeros().value(0, 0) == Approx(-799.0).margin(2.1));
}

TEST_CASE("mse_search: errs less than every other rule that fits the same type",
          "[quantize][rules]") {
  const matrix x = random_matrix(64, 256, 11);
  const qp::mse_search search;
  CHECK(error_of<qp::q4_0>(x, search) < error_of<qp::q4_0>(x, qp::signed_extreme{}));
  CHECK(error_of<qp::q4_1>(x, search) < 0.85 * error_of<qp::q4_1>(x, qp::absmax{}));
  CHECK(error_of<qp::q4_k_like>(x, search) < 0.85 * error_of<qp::q4_k_like>(x, qp::absmax{}));
  CHECK(error_of<qp::nvfp4>(x, search) < 0.8 * error_of<qp::nvfp4>(x, qp::absmax{}));
  CHECK(error_of<qp::mxfp4>(x, search) < error_of<qp::mxfp4>(x, qp::mx_even{}));
  CHECK(error_of<qp::mxfp4>(x, search) < error_of<qp::mxfp4>(x, qp::mx_floor{}));
}

TEST_CASE("quantize: the errors that 4-bit formats are known for, on normal numbers",
          "[quantize][rules]") {
  // 65536 numbers: the relative squared error is known to a percent or so.
  const matrix x = random_matrix(64, 1024, 12);
  double size = 0.0;
  for (const float value : x.values())
    size += static_cast<double>(value) * static_cast<double>(value);
  const auto relative = [&]<class Spec>(const auto& rule) {
    return error_of<Spec>(x, rule) / size;
  };
  CHECK(relative.operator()<qp::mxfp4>(qp::mse_search{}) < 1.254e-2 * 1.01);
  CHECK(relative.operator()<qp::q4_k_like>(qp::mse_search{}) < 5.25e-3);
  CHECK(relative.operator()<qp::q4_0>(qp::signed_extreme{}) < 7.36e-3 * 1.02);
  CHECK(relative.operator()<qp::q4_1>(qp::mse_search{}) < 5.0e-3);
  CHECK(relative.operator()<qp::nvfp4>(qp::mse_search{}) < 6.9e-3);
  CHECK(relative.operator()<qp::q8_0>(qp::absmax{}) < 2.9e-5 * 1.02);
  CHECK(relative.operator()<qp::nf4_g64>(qp::absmax{}) == Approx(8.45e-3).epsilon(0.02));
}
