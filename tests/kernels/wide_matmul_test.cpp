// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>
#include <vector>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/packing/wide_image.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/table5.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// One spec for every way in which codes become wide integers: exact ones of two factors, rounded
/// ones of a table, of a codebook and of codebooks of rows; scales of two
/// levels, other widths of codes.
using wide_weights =
    std::tuple<qp::nf4_g64, qp::quant<qp::nf4, qp::per_group<48>, qp::scale<qp::fp16>>,
               qp::quant<qp::nf4, qp::per_group<16>,
                         qp::scale<qp::quant<qp::fp8_e4m3, qp::per_channel, qp::scale<qp::fp32>>>>,
               qp::mxfp6_e3m2, qp::quant<qp::fp6_e3m2, qp::per_group<24>>, qp::codebook4_shared,
               qp::codebook4, qp::codebook3, qp::quant<qp::codebook<4>, qp::per_channel>,
               qp::quant<qp::codebook<13>, qp::per_group<512>>,
               qp::quant<qp::codebook<16>, qp::per_group<1024>>,
               qp::quant<qp::codebook<6>, qp::per_group<256>>,
               qp::quant<qp::codebook<3>, qp::per_group<256>>,
               qp::quant<table5, qp::per_group<7>, qp::scale<qp::fp16>>>;

/// Those of them that have a table for each row.
using row_weights =
    std::tuple<qp::codebook4, qp::codebook3, qp::quant<qp::codebook<4>, qp::per_channel>,
               qp::quant<qp::codebook<16>, qp::per_group<1024>>>;

/// As float_products, but each of a few sums a group is rounded, and digits that are left out
/// take up to 2^-20 of the largest weight times the largest activation.
expected_products wide_products(const decoded_weights& w, const matrix& x) {
  expected_products expected = float_products(w, x);
  float peak = 0.0f;
  for (const float value : x.values()) peak = std::max(peak, std::abs(value));
  for (std::size_t r = 0; r < w.rows; ++r) {
    double magnitude = 0.0;
    double largest = 0.0;
    for (std::size_t c = 0; c < w.cols; ++c) {
      const std::size_t at = r * w.cols + c;
      const double code = std::abs(static_cast<double>(w.scales[at] * w.codes[at]));
      largest = std::max(largest, code);
      magnitude += (code + std::abs(static_cast<double>(w.offsets[at]))) *
                   std::abs(static_cast<double>(x(0, c)));
    }
    const auto columns = static_cast<double>(w.cols);
    const double sums = columns / static_cast<double>(w.group_cols) + columns / 32.0 + 16.0;
    expected.bound[r] =
        sums * 0x1p-23 * magnitude + 0x1p-20 * columns * largest * static_cast<double>(peak);
  }
  return expected;
}

template <class Spec>
void check_wide(std::size_t in, std::size_t out, float factor, bool has_outlier) {
  matrix x = random_matrix(1, in, 1000 * in + out);
  for (std::size_t c = 0; c < in; ++c) x(0, c) *= factor;
  if (has_outlier) x(0, in / 2) *= 300.0f;
  const auto layer =
      qp::compress<qp::recipe<qp::weight<Spec>>>(random_matrix(out, in, in + out).view());
  const expected_products expected = wide_products(decoded_weights(layer.quantized()), x);
  on_each_target([&]<class Isa>() {
    INFO("in " << in << ", out " << out << ", factor " << factor);
    check_products(expected, run_on<Isa>(layer, x));
  });
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("wide kernels: one token stays within its bound on every target",
                        "[kernels][wide]", wide_weights) {
  STATIC_REQUIRE(qp::linear<TestType>::uses_wide_digits);
  for (std::size_t in = 1; in <= 70; ++in) check_wide<TestType>(in, 17, 1.0f, in % 3 == 0);
  for (const std::size_t out : {1u, 15u, 16u, 33u, 64u, 65u}) {
    check_wide<TestType>(100, out, 1.0f, false);
  }
  for (const std::size_t in :
       {127u, 128u, 129u, 511u, 512u, 520u, 1056u, 2100u, 4096u, 4250u, 8300u}) {
    check_wide<TestType>(in, 18, 1.0f, in % 2 == 0);
  }
}

TEMPLATE_LIST_TEST_CASE("wide kernels: activations of any size", "[kernels][wide]", wide_weights) {
  for (const float factor : {0.0f, 1e-28f, 1e-20f, 1e20f, 1e30f}) {
    check_wide<TestType>(150, 20, factor, false);
  }
}

TEMPLATE_LIST_TEST_CASE("wide kernels: digits that all are extreme", "[kernels][wide]",
                        wide_weights) {
  // Weights and activations of one size and sign, whose sums are the largest there can be.
  for (const float sign : {1.0f, -1.0f}) {
    const std::size_t in = 1024;
    matrix x(1, in, 0x7f7f7fp-20f);
    const matrix weights(16, in, sign);
    const auto layer = qp::compress<qp::recipe<qp::weight<TestType>>>(weights.view());
    expected_products expected = wide_products(decoded_weights(layer.quantized()), x);
    // Targets without these kernels add up floats.
    const expected_products floats = float_products(decoded_weights(layer.quantized()), x);
    for (std::size_t r = 0; r < 16; ++r) {
      expected.bound[r] = std::max(expected.bound[r], floats.bound[r]);
    }
    on_each_target([&]<class Isa>() { check_products(expected, run_on<Isa>(layer, x)); });
  }
}

TEMPLATE_LIST_TEST_CASE("wide kernels: a NaN or an infinity shows in every result",
                        "[kernels][wide]", wide_weights) {
  const auto layer =
      qp::compress<qp::recipe<qp::weight<TestType>>>(random_matrix(20, 50, 1).view());
  for (const float fault :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    matrix x = random_matrix(1, 50, 2);
    x(0, 49) = fault;
    on_each_target([&]<class Isa>() {
      const matrix y = run_on<Isa>(layer, x);
      for (const float value : y.values()) CHECK(!std::isfinite(value));
    });
  }
}

TEST_CASE("wide kernels: weights of zeros alone give zeros", "[kernels][wide]") {
  const auto check = []<class Spec>() {
    const matrix weights(17, 600, 0.0f);
    const auto layer = qp::compress<qp::recipe<qp::weight<Spec>>>(weights.view());
    const matrix x = random_matrix(1, 600, 3);
    on_each_target([&]<class Isa>() {
      const matrix y = run_on<Isa>(layer, x);
      for (const float value : y.values()) CHECK(value == 0.0f);
    });
  };
  check.operator()<qp::nf4_g64>();
  check.operator()<qp::mxfp6_e3m2>();
  check.operator()<qp::codebook4>();
  check.operator()<qp::codebook3>();
  check.operator()<qp::quant<qp::codebook<4>, qp::per_channel>>();
  check.operator()<qp::codebook4_shared>();
}

TEMPLATE_LIST_TEST_CASE("wide kernels: rows of zeros, of subnormal entries and of the largest ones",
                        "[kernels][wide]", row_weights) {
  // Sixteen rows share registers, not integers.
  const std::size_t in = 1400;
  matrix weights = random_matrix(35, in, 7);
  for (std::size_t r = 0; r < weights.rows(); ++r) {
    const float factor = r % 5 == 0 ? 0.0f : r % 5 == 1 ? 0x1p-22f : r % 5 == 2 ? 1e4f : 1.0f;
    for (std::size_t c = 0; c < in; ++c) weights(r, c) *= factor;
  }
  const auto layer = qp::compress<qp::recipe<qp::weight<TestType>>>(weights.view());
  for (const float factor : {1e-30f, 1.0f, 1e28f}) {
    matrix x = random_matrix(1, in, 8);
    for (std::size_t c = 0; c < in; ++c) x(0, c) *= factor;
    const expected_products expected = wide_products(decoded_weights(layer.quantized()), x);
    on_each_target([&]<class Isa>() { check_products(expected, run_on<Isa>(layer, x)); });
  }
}

TEST_CASE("wide_image: integers stand for the values", "[packing]") {
  using small = qp::wide_image<qp::fp6_e3m2>;
  STATIC_REQUIRE(small::exists);
  STATIC_REQUIRE(small::is_exact);
  STATIC_REQUIRE(qp::detail::wide_factors<qp::fp6_e3m2>.exist);
  for (std::size_t code = 0; code < 64; ++code) {
    const float value = qp::fp6_e3m2::decode(static_cast<std::uint8_t>(code));
    CHECK(static_cast<float>(small::integers[code]) * small::unit == value);
    const auto& factors = qp::detail::wide_factors<qp::fp6_e3m2>;
    CHECK(factors.factor[code / 16] * factors.number[code / 16 % 2][code % 16] ==
          small::integers[code]);
  }
  using table = qp::wide_image<qp::nf4>;
  STATIC_REQUIRE(table::exists);
  STATIC_REQUIRE_FALSE(table::is_exact);
  for (std::size_t code = 0; code < 16; ++code) {
    const double error =
        static_cast<double>(table::integers[code]) * static_cast<double>(table::unit) -
        static_cast<double>(qp::nf4::values[code]);
    CHECK(std::abs(error) <= 0x1.01p-23);
  }
  STATIC_REQUIRE_FALSE(qp::wide_image<qp::int4>::exists);
  STATIC_REQUIRE_FALSE(qp::wide_image<qp::fp8_e4m3>::exists);
  STATIC_REQUIRE_FALSE(qp::wide_image<qp::codebook<16>>::exists);
}
