// SPDX-License-Identifier: Apache-2.0

#include "qompose/quantize/quantize.hpp"

#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "policy_lists.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/rules/mse_search.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/slow_quantize.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;
using qompose_tests::slow_values;

namespace {

template <class Spec, class Rule = qp::default_rule>
matrix stored(const matrix& x, const Rule& rule = {}) {
  matrix out(x.rows(), x.cols(), NAN);
  qp::dequantize(qp::quantize<Spec>(x.view(), rule), out.view());
  return out;
}

double relative_rms(const matrix& x, const matrix& y) {
  double error = 0.0;
  double size = 0.0;
  for (std::size_t i = 0; i < x.values().size(); ++i) {
    const double difference =
        static_cast<double>(x.values()[i]) - static_cast<double>(y.values()[i]);
    error += difference * difference;
    size += static_cast<double>(x.values()[i]) * static_cast<double>(x.values()[i]);
  }
  return std::sqrt(error / size);
}

template <class Q>
std::vector<int> codes(const Q& q, std::size_t row = 0) {
  std::vector<int> result;
  for (std::size_t c = 0; c < q.cols(); ++c) result.push_back(static_cast<int>(q.code(row, c)));
  return result;
}

/// A rule from outside the library: a step of one quarter.
struct quarter {
  template <class Group>
  qp::fitted_scale fit(const float*, std::size_t) const {
    return {0.25f};
  }
};

}  // namespace

TEMPLATE_LIST_TEST_CASE("quantize: equals the slow definition for any shape", "[quantize]",
                        qompose_tests::tensor_specs) {
  if constexpr (qompose_tests::has_slow_values<TestType>) {
    for (const std::size_t rows : {1u, 3u, 5u}) {
      for (const std::size_t cols : {1u, 2u, 7u, 8u, 31u, 32u, 33u, 64u, 100u, 131u}) {
        matrix x = random_matrix(rows, cols, 100 * rows + cols);
        // Offset rows, zeros and a negative zero among them.
        for (std::size_t c = 0; c < cols; ++c) x(rows - 1, c) += 3.0f;
        x(0, cols / 2) = -0.0f;
        INFO("[" << rows << ", " << cols << "]");
        CHECK(stored<TestType>(x).values() == slow_values<TestType>(x).values());
      }
    }
  }
}

TEMPLATE_LIST_TEST_CASE("quantize: each format errs as its row says", "[quantize]",
                        qompose_tests::formats) {
  const matrix x = random_matrix(64, 64, 7);
  using format = typename TestType::format;
  // Wider formats have a range of their own and take no scale.
  using spec = std::conditional_t<(format::bits > 8), format, qp::quant<format, qp::per_channel>>;
  const double error = relative_rms(x, stored<spec>(x));
  CHECK(error <= TestType::bound);
  CHECK(error >= TestType::bound * 2 / 3);
}

TEMPLATE_LIST_TEST_CASE("quantize: each unsigned format errs as its row says", "[quantize]",
                        qompose_tests::unsigned_formats) {
  const matrix x = random_matrix(64, 64, 8);
  using format = typename TestType::format;
  using spec = qp::quant<format, qp::per_channel, qp::scale<qp::fp32>, qp::minimum<qp::fp32>>;
  const double error = relative_rms(x, stored<spec>(x));
  CHECK(error <= TestType::bound);
  CHECK(error >= TestType::bound * 2 / 3);
}

TEMPLATE_LIST_TEST_CASE("quantize: each granularity shares scales as it says", "[quantize]",
                        qompose_tests::granularities) {
  using spec = qp::quant<qp::int8, TestType>;
  const matrix x = random_matrix(4, 75, 9);
  CHECK(stored<spec>(x).values() == slow_values<spec>(x).values());
}

TEST_CASE("quantize: worked numbers of affine quantization", "[quantize]") {
  const matrix x(1, 4, {-1.0f, 0.0f, 0.4f, 2.0f});
  SECTION("unsigned 8 bits with a zero point") {
    const auto q = qp::quantize<
        qp::quant<qp::uint8, qp::per_tensor, qp::scale<qp::fp32>, qp::zero<qp::uint8>>>(x.view());
    CHECK(codes(q) == std::vector<int>{0, 85, 119, 255});
    CHECK(q.zeros().code(0, 0) == 85);
    CHECK(q.scale(0, 0) == Approx(0.0117647));
    CHECK(q.value(0, 1) == 0.0f);
    CHECK(q.value(0, 3) == Approx(2.0f));
    CHECK(q.offset(0, 0) == Approx(-1.0f));
  }
  SECTION("signed 8 bits: -63.5 is a tie and goes to -64") {
    const auto q = qp::quantize<qp::w8_channel>(x.view());
    CHECK(codes(q) == std::vector<int>{-64, 0, 25, 127});
    CHECK(q.scale(0, 2) == Approx(0.0157480));
    CHECK(q.offset(0, 2) == 0.0f);
  }
  SECTION("signed 4 bits: -3.5 is a tie and goes to -4") {
    using spec = qp::quant<qp::int4, qp::per_channel>;
    // As a float 2 / 7 is above itself, so -1 lies just above the tie; times 3.5 it is one.
    const auto q = qp::quantize<spec>(x.view());
    CHECK(codes(q) == std::vector<int>{-3, 0, 1, 7});
    CHECK(q.scale(0, 0) == Approx(0.285714));
    const matrix scaled(1, 4, {-3.5f, 0.0f, 1.4f, 7.0f});
    CHECK(codes(qp::quantize<spec>(scaled.view())) == std::vector<int>{-4, 0, 1, 7});
  }
  SECTION("two rows with scales of their own") {
    const matrix y(1, 6, {1.1f, 2.2f, 0.1f, -0.1f, -5.5f, -6.6f});
    const auto q = qp::quantize<qp::w8_channel>(y.view());
    CHECK(q.scale(0, 0) == Approx(0.0519685));
    CHECK(codes(q) == std::vector<int>{21, 42, 2, -2, -106, -127});
    // The second row of the example on the first row's scale.
    const matrix z(1, 6, {1.1f, 2.1f, 0.1f, -0.1f, -4.8f, 6.6f});
    CHECK(codes(qp::quantize<qp::w8_channel>(z.view())) ==
          std::vector<int>{21, 40, 2, -2, -92, 127});
  }
}

TEST_CASE("quantize: codes are made for the scales that are stored", "[quantize]") {
  // 1 / 7 is no half: the stored scale is the nearest one.
  const matrix x(1, 3, {1.0f, -0.5f, 0.25f});
  const auto q = qp::quantize<qp::w4_g32>(x.view());
  const float scale = qp::fp16::decode(qp::fp16::encode(1.0f / 7.0f));
  CHECK(q.scale(0, 0) == scale);
  CHECK(q.scale_code(0, 0) == qp::fp16::encode(1.0f / 7.0f));
  CHECK(q.value(0, 0) == scale * 7.0f);
}

TEST_CASE("quantize: what is on the grid already is kept", "[quantize]") {
  const matrix x = random_matrix(5, 70, 12);
  const matrix once = stored<qp::w8_channel>(x);
  CHECK(stored<qp::w8_channel>(once).values() == once.values());
}

TEST_CASE("quantize: a search rule gives no larger squared error", "[quantize]") {
  const matrix x = random_matrix(16, 96, 13);
  CHECK(relative_rms(x, stored<qp::w4_g32>(x, qp::mse_search{})) <
        relative_rms(x, stored<qp::w4_g32>(x)));
}

TEST_CASE("quantize: takes a rule from outside the library", "[quantize]") {
  const matrix x(1, 4, {-9.0f, 0.3f, 0.375f, 1.0f});
  const auto q = qp::quantize<qp::w4_g32>(x.view(), quarter{});
  CHECK(q.scale(0, 0) == 0.25f);
  CHECK(codes(q) == std::vector<int>{-8, 1, 2, 4});
}

TEST_CASE("quantize: a search may store negative scales where their format has a sign",
          "[quantize]") {
  // -8 is a code and 8 is not.
  const matrix x(1, 4, {8.0f, 3.0f, -7.0f, 1.0f});
  const auto q = qp::quantize<qp::w4_g32>(x.view(), qp::mse_search{});
  CHECK(q.scale(0, 0) == -1.0f);
  CHECK(codes(q) == std::vector<int>{-8, -3, 7, -1});
  CHECK(stored<qp::w4_g32>(x, qp::mse_search{}).values() == x.values());
  using unsigned_scales =
      qp::quant<qp::int4, qp::per_group<32>, qp::scale<qp::quant<qp::uint8, qp::per_channel>>>;
  CHECK(qp::quantize<unsigned_scales>(x.view(), qp::mse_search{}).scale(0, 0) > 0.0f);
}
