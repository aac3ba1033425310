// SPDX-License-Identifier: Apache-2.0

#include "qompose/nn/linear.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "policy_lists.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/rules/mse_search.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"
#include "support/slow_quantize.hpp"
#include "support/table5.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Recipe>
matrix dense(const qp::linear<Recipe>& layer) {
  matrix out(layer.out_features(), layer.in_features(), NAN);
  qp::dequantize(layer, out.view());
  return out;
}

/// Rows rotated into the basis in which a recipe stores them.
template <class Transform>
matrix folded(const matrix& w) {
  matrix out = w;
  for (std::size_t r = 0; r < w.rows(); ++r) Transform::fold({}, out.view().row(r), w.cols());
  return out;
}

using spelled_out =
    qp::recipe<qp::weight<qp::w4_g32>, qp::transform<qp::no_transform>, qp::sparsity<qp::dense>,
               qp::low_rank<qp::no_low_rank>, qp::outliers<qp::no_outliers>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE(
    "linear: its effective weights are the fake-quantized ones, in the original basis",
    "[nn][linear]", recipes) {
  using layer_type = qp::linear<TestType>;
  using transform = typename layer_type::transform_type;
  const matrix w = random_matrix(37, 90, 1);
  const auto layer = qp::compress<TestType>(w.view());
  CHECK(layer.in_features() == 90);
  CHECK(layer.out_features() == 37);

  matrix wanted = slow_values<typename layer_type::weight_spec>(folded<transform>(w));
  for (std::size_t r = 0; r < 37; ++r) transform::unfold({}, wanted.view().row(r), 90);
  CHECK(dense(layer).values() == wanted.values());
}

TEMPLATE_LIST_TEST_CASE("linear: gives back the stored codes and scales without loss",
                        "[nn][linear]", recipes) {
  using layer_type = qp::linear<TestType>;
  using spec = typename layer_type::weight_spec;
  const matrix w = random_matrix(150, 70, 2);  // more than one block of rows
  const matrix stored = folded<typename layer_type::transform_type>(w);
  CHECK(same(qp::compress<TestType>(w.view()).quantized(), qp::quantize<spec>(stored.view())));
  CHECK(same(qp::compress<TestType>(w.view(), {}, qp::mse_search{.grid = 10}).quantized(),
             qp::quantize<spec>(stored.view(), qp::mse_search{.grid = 10})));
}

TEMPLATE_LIST_TEST_CASE("linear: specs whose scales span rows are fitted as a whole",
                        "[nn][linear]", tensor_specs) {
  const matrix w = random_matrix(130, 40, 3);
  CHECK(same(qp::compress<TestType>(w.view()).quantized(), qp::quantize<TestType>(w.view())));
}

TEST_CASE("linear: an empty slot takes no byte", "[nn][linear]") {
  const auto size_of = []<class Recipe>() {
    using packed = qp::packed_matrix<typename qp::as_recipe<Recipe>::weight_spec>;
    CHECK(sizeof(qp::linear<Recipe>) == sizeof(packed) + sizeof(qp::aligned_buffer<float>));
  };
  size_of.operator()<qp::recipe<>>();
  size_of.operator()<qp::w8a8>();
  size_of.operator()<qp::w4_g32>();
  size_of.operator()<qp::w4a8_g32_hadamard>();
  CHECK(sizeof(qp::linear<spelled_out>) == sizeof(qp::linear<qp::w4_g32>));
}

TEST_CASE("linear: storage_bytes counts codes, scales and bias", "[nn][linear]") {
  const matrix w = random_matrix(32, 128, 4);
  const std::vector<float> bias(32, 1.0f);
  CHECK(qp::compress<qp::w4a8_g32>(w.view()).storage_bytes() == 32 * 128 / 2 + 32 * 4 * 2);
  CHECK(qp::compress<qp::w4a8_g32>(w.view(), bias).storage_bytes() ==
        32 * 128 / 2 + 32 * 4 * 2 + 32 * 4);
  CHECK(qp::compress<qp::w8a8>(w.view()).storage_bytes() == 32 * 128 + 32 * 4);
  CHECK(qp::linear<qp::w8a8>().storage_bytes() == 0);
}

TEST_CASE("linear: a spec alone is a layer with float activations", "[nn][linear]") {
  CHECK_FALSE(qp::linear<qp::w8_channel>::uses_integers);
  CHECK(qp::linear<qp::w8a8>::uses_integers);
  CHECK_FALSE(qp::linear<qp::w16a32>::uses_integers);
  const matrix w = random_matrix(5, 6, 5);
  const matrix x = random_matrix(2, 6, 6);
  matrix a(2, 5);
  matrix b(2, 5);
  qp::compress<qp::w8_channel>(w.view())(x.view(), a.view());
  qp::compress<qp::w8a32>(w.view())(x.view(), b.view());
  CHECK(a.values() == b.values());
}

TEST_CASE("linear: wrong shapes are refused before anything is written", "[nn][linear]") {
  const auto layer = qp::compress<qp::w8a8>(random_matrix(7, 20, 7).view());
  const matrix x(3, 20, 1.0f);
  const matrix wide(3, 21, 1.0f);
  matrix y(3, 7, 5.0f);
  matrix y_wide(3, 8, 5.0f);
  matrix y_long(4, 7, 5.0f);
  CHECK_THROWS_AS(layer(wide.view(), y.view()), qp::shape_error);
  CHECK_THROWS_WITH(layer(wide.view(), y.view()), "linear: x: shape [3, 21], expected [3, 20]");
  CHECK_THROWS_WITH(layer(x.view(), y_wide.view()), "linear: y: shape [3, 8], expected [3, 7]");
  CHECK_THROWS_WITH(layer(x.view(), y_long.view()), "linear: y: shape [4, 7], expected [3, 7]");
  CHECK(y.values() == std::vector<float>(21, 5.0f));
  CHECK(y_wide.values() == std::vector<float>(24, 5.0f));
  CHECK(y_long.values() == std::vector<float>(28, 5.0f));
  matrix out(7, 19);
  CHECK_THROWS_WITH(qp::dequantize(layer, out.view()),
                    "dequantize: out: shape [7, 19], expected [7, 20]");
}

TEST_CASE("compress: wrong weights and biases are refused with their place", "[nn][compress]") {
  matrix w = random_matrix(150, 20, 8);
  const std::vector<float> short_bias(149, 0.0f);
  CHECK_THROWS_AS(qp::compress<qp::w8a8>(w.view(), short_bias), qp::shape_error);
  CHECK_THROWS_WITH(qp::compress<qp::w8a8>(w.view(), short_bias),
                    contains("149 elements, expected 150"));
  std::vector<float> bad_bias(150, 0.0f);
  bad_bias[77] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(qp::compress<qp::w8a8>(w.view(), bad_bias), qp::value_error);
  CHECK_THROWS_WITH(qp::compress<qp::w8a8>(w.view(), bad_bias), contains("(0, 77) is infinite"));
  w(140, 3) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(qp::compress<qp::w8a8>(w.view()), qp::value_error);
  CHECK_THROWS_WITH(qp::compress<qp::w8a8>(w.view()), contains("element (140, 3) is NaN"));
  CHECK_THROWS_WITH(qp::compress<qp::recipe<>>(w.view()), contains("element (140, 3) is NaN"));
}

TEST_CASE("linear: no tokens, no outputs and no inputs are no special case", "[nn][linear]") {
  const auto check = []<class Recipe>() {
    float nothing = 0.0f;
    const auto layer = qp::compress<Recipe>(random_matrix(3, 10, 9).view());
    CHECK_NOTHROW(layer({&nothing, 0, 10}, {&nothing, 0, 3}));
    const auto no_outputs = qp::compress<Recipe>({&nothing, 0, 10});
    const matrix x(2, 10, 1.0f);
    CHECK_NOTHROW(no_outputs(x.view(), {&nothing, 2, 0}));

    const std::vector<float> bias{1.0f, 2.0f, 3.0f};
    const auto no_inputs = qp::compress<Recipe>({&nothing, 3, 0}, bias);
    for (const std::size_t n : {1u, 2u, 70u}) {
      matrix y(n, 3, 7.0f);
      no_inputs({&nothing, n, 0}, y.view());
      bool right = true;
      for (std::size_t t = 0; t < n; ++t) {
        for (std::size_t r = 0; r < 3; ++r) right = right && y(t, r) == bias[r];
      }
      CHECK(right);
    }
  };
  check.operator()<qp::recipe<>>();
  check.operator()<qp::w8a8>();
  check.operator()<qp::w4a8_g32>();
  check.operator()<qp::w4a8_minimum_g32>();
}

TEST_CASE("linear: one feature in, one feature out", "[nn][linear]") {
  const matrix w(1, 1, 2.0f);
  const matrix x(1, 1, 3.0f);
  matrix y(1, 1);
  qp::compress<qp::recipe<>>(w.view())(x.view(), y.view());
  CHECK(y(0, 0) == 6.0f);
  // 127 * (3 / 127) and 127 * (2 / 127), each scale rounded once.
  qp::compress<qp::w8a8>(w.view())(x.view(), y.view());
  CHECK(y(0, 0) == Approx(6.0f));
}

TEST_CASE("linear: a format from outside the library runs through its table", "[nn][linear]") {
  using spec = qp::quant<table5, qp::per_group<16>, qp::scale<qp::bf16>>;
  const matrix w = random_matrix(40, 50, 10);
  const matrix x = random_matrix(7, 50, 11);
  const auto layer = qp::compress<spec>(w.view());
  const matrix effective = dense(layer);
  CHECK(effective.values() == slow_values<spec>(w).values());
  // Tight codes take five bits each.
  CHECK(layer.quantized().storage_bytes() == 40 * ((50 * 5 + 7) / 8) + 40 * 4 * 2);

  matrix y(7, 40);
  layer(x.view(), y.view());
  bool right = true;
  for (std::size_t t = 0; t < 7; ++t) {
    for (std::size_t r = 0; r < 40; ++r) {
      double sum = 0.0;
      double size = 0.0;
      for (std::size_t c = 0; c < 50; ++c) {
        const double product = static_cast<double>(x(t, c)) * static_cast<double>(effective(r, c));
        sum += product;
        size += std::abs(product);
      }
      // A product and a sum a term, a few more for scales: each wrong by 2^-24.
      right =
          right && std::abs(static_cast<double>(y(t, r)) - sum) <= (2 * 50 + 16) * 0x1p-24 * size;
    }
  }
  CHECK(right);
}

TEST_CASE("compress: a search rule brings the effective weights closer", "[nn][compress]") {
  const matrix w = random_matrix(48, 96, 12);
  const auto squared_error = [&](const auto& layer) {
    const matrix out = dense(layer);
    double sum = 0.0;
    for (std::size_t i = 0; i < w.values().size(); ++i) {
      sum += std::pow(static_cast<double>(out.values()[i] - w.values()[i]), 2);
    }
    return sum;
  };
  CHECK(squared_error(qp::compress<qp::w4a8_g32>(w.view(), {}, qp::mse_search{})) <
        squared_error(qp::compress<qp::w4a8_g32>(w.view())));
}

TEST_CASE("compress_rows: reads rows in blocks and gives what compress gives", "[nn][compress]") {
  const matrix w = random_matrix(200, 33, 13);
  std::size_t most = 0;
  const auto read = [&](std::size_t first, std::size_t count, float* out) {
    most = std::max(most, count);
    std::copy_n(w.view().row(first), count * 33, out);
  };
  CHECK(same(qp::compress_rows<qp::w4a8_g32>(200, 33, read).quantized(),
             qp::compress<qp::w4a8_g32>(w.view()).quantized()));
  CHECK(most <= 64);
}

TEST_CASE("compress: takes rows that lie apart", "[nn][compress]") {
  const matrix wide = random_matrix(20, 50, 14);
  matrix narrow(20, 40);
  for (std::size_t r = 0; r < 20; ++r) {
    for (std::size_t c = 0; c < 40; ++c) narrow(r, c) = wide(r, c + 3);
  }
  const qp::matrix_view<const float> apart(wide.view().data() + 3, 20, 40, 50);
  CHECK(same(qp::compress<qp::w8a8>(apart).quantized(),
             qp::compress<qp::w8a8>(narrow.view()).quantized()));
}

#if defined(_OPENMP)
TEMPLATE_LIST_TEST_CASE("compress: the stored layer does not depend on the threads",
                        "[nn][compress]", recipes) {
  const matrix w = random_matrix(333, 60, 15);
  CHECK(same(qp::compress<TestType>(w.view(), {}, qp::default_rule{}, qp::openmp{3}).quantized(),
             qp::compress<TestType>(w.view()).quantized()));
}
#endif
