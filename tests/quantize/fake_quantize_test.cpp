// SPDX-License-Identifier: Apache-2.0

#include "qompose/quantize/fake_quantize.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "policy_lists.hpp"
#include "qompose/rules/mse_search.hpp"
#include "qompose/rules/percentile.hpp"
#include "qompose/rules/signed_extreme.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

TEMPLATE_LIST_TEST_CASE("fake_quantize: equals quantizing and dequantizing", "[quantize][fake]",
                        qompose_tests::tensor_specs) {
  for (const std::size_t rows : {1u, 5u}) {
    for (const std::size_t cols : {1u, 31u, 75u, 600u}) {
      matrix x = random_matrix(rows, cols, rows + cols);
      x(rows - 1, cols / 2) = 0.0f;
      matrix wanted(rows, cols);
      qp::dequantize(qp::quantize<TestType>(x.view()), wanted.view());
      matrix out(rows, cols, NAN);
      qp::fake_quantize<TestType>(x.view(), out.view());
      CHECK(out.values() == wanted.values());
      qp::fake_quantize<TestType>(x.view());  // in place
      CHECK(x.values() == wanted.values());
    }
  }
}

TEMPLATE_TEST_CASE(
    "fake_quantize: rows longer than its buffers", "[quantize][fake]", qp::a8_token, qp::w8_channel,
    qp::fp8_token, qp::w4_channel, qp::bf16, (qp::quant<qp::int8, qp::per_group<3000>>),
    (qp::quant<qp::uint4, qp::per_group<2500>, qp::scale<qp::fp16>, qp::zero<qp::uint4>>)) {
  const matrix x = random_matrix(2, 9001, 8);
  matrix wanted(2, 9001);
  qp::dequantize(qp::quantize<TestType>(x.view()), wanted.view());
  matrix out(2, 9001, NAN);
  qp::fake_quantize<TestType>(x.view(), out.view());
  CHECK(out.values() == wanted.values());
}

TEST_CASE("fake_quantize: takes the same rules", "[quantize][fake]") {
  const matrix x = random_matrix(4, 100, 3);
  const auto check = [&]<class Spec>(const auto& rule) {
    matrix wanted(4, 100);
    qp::dequantize(qp::quantize<Spec>(x.view(), rule), wanted.view());
    matrix out(4, 100);
    qp::fake_quantize<Spec>(x.view(), out.view(), rule);
    CHECK(out.values() == wanted.values());
  };
  check.operator()<qp::q4_0>(qp::signed_extreme{});
  check.operator()<qp::q4_1>(qp::mse_search{.grid = 9});
  check.operator()<qp::mxfp4>(qp::mx_even{});
  check.operator()<qp::w8_channel>(qp::percentile{.keep = 0.9f});
  check.operator()<qp::ternary_channel>(qp::ternary_optimum{});
}

TEST_CASE("fake_quantize: bad input is an error that leaves the output as it was",
          "[quantize][fake]") {
  matrix x = random_matrix(2, 40, 4);
  x(1, 7) = std::numeric_limits<float>::infinity();
  matrix out(2, 40, 5.0f);
  CHECK_THROWS_WITH(qp::fake_quantize<qp::w4_g32>(x.view(), out.view()),
                    contains("element (1, 7) is infinite"));
  CHECK(out.values() == std::vector<float>(80, 5.0f));
  // A scale that a half cannot hold, in the last group.
  x(1, 7) = 0.0f;
  x(1, 39) = 1e9f;
  CHECK_THROWS_WITH(qp::fake_quantize<qp::w4_g32>(x.view(), out.view()),
                    contains("row 1, group 1"));
  CHECK(out.values() == std::vector<float>(80, 5.0f));
  matrix narrow(2, 39);
  CHECK_THROWS_AS(qp::fake_quantize<qp::w4_g32>(x.view(), narrow.view()), qp::shape_error);
}

TEST_CASE("round_row: a row that cannot be rounded becomes NaN", "[quantize][fake]") {
  std::vector<float> row(40, 1.0f);
  row[33] = std::numeric_limits<float>::quiet_NaN();
  const auto all_nan = [](const std::vector<float>& values) {
    bool all = true;
    for (const float value : values) all = all && std::isnan(value);
    return all;
  };
  CHECK_FALSE(qp::detail::round_row<qp::w4_g32>(row.data(), row.size()));
  CHECK(all_nan(row));
  CHECK_FALSE(qp::detail::round_row<qp::nvfp4>(row.data(), row.size()));
  CHECK_FALSE(qp::detail::round_row<qp::fp8_e4m3>(row.data(), row.size()));
}
