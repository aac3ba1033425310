// SPDX-License-Identifier: Apache-2.0

#include "qompose/calibrate/gptq.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

#include "qompose/core/random.hpp"
#include "qompose/nn/compress.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

/// Tokens whose channels share a few common causes, as activations do.
std::vector<float> correlated(std::size_t n_tokens, std::size_t channels, std::uint64_t seed) {
  qp::random_source random(seed);
  constexpr std::size_t causes = 12;
  std::vector<float> mixing(causes * channels);
  for (float& v : mixing) v = static_cast<float>(random.normal());
  std::vector<float> x(n_tokens * channels);
  for (std::size_t t = 0; t < n_tokens; ++t) {
    for (std::size_t k = 0; k < causes; ++k) {
      const auto cause = static_cast<float>(random.normal());
      for (std::size_t c = 0; c < channels; ++c)
        x[t * channels + c] += cause * mixing[k * channels + c];
    }
    for (std::size_t c = 0; c < channels; ++c) {
      x[t * channels + c] += 0.3f * static_cast<float>(random.normal());
    }
  }
  return x;
}

qp::block_gram gram_of(qp::matrix_view<const float> x) {
  qp::block_gram gram(x.cols());
  for (std::size_t b = 0; b < gram.blocks(); ++b) gram.add(b, x);
  return gram;
}

/// Mean square of X (W - V)^T.
double output_error(qp::matrix_view<const float> x, const std::vector<float>& w,
                    const std::vector<float>& v) {
  const std::size_t rows = w.size() / x.cols();
  double sum = 0.0;
  for (std::size_t t = 0; t < x.rows(); ++t) {
    for (std::size_t r = 0; r < rows; ++r) {
      double difference = 0.0;
      for (std::size_t c = 0; c < x.cols(); ++c) {
        difference += static_cast<double>(x(t, c)) * (static_cast<double>(w[r * x.cols() + c]) -
                                                      static_cast<double>(v[r * x.cols() + c]));
      }
      sum += difference * difference;
    }
  }
  return sum / static_cast<double>(x.rows() * rows);
}

template <class Recipe, class Rule>
std::vector<float> rounded(const std::vector<float>& w, std::size_t rows, std::size_t cols,
                           const Rule& rule) {
  const auto layer = qp::compress<Recipe>({w.data(), rows, cols}, {}, rule);
  std::vector<float> dense(w.size());
  qp::dequantize(layer, qp::matrix_view<float>(dense.data(), rows, cols));
  return dense;
}

}  // namespace

TEST_CASE("block_gram: sums products within blocks, and follows scaled channels", "[calibrate]") {
  const std::size_t channels = qp::block_gram::block_size + 3;
  const std::vector<float> x = correlated(5, channels, 1);
  const qp::matrix_view<const float> view(x.data(), 5, channels);
  qp::block_gram gram = gram_of(view);
  CHECK(gram.blocks() == 2);
  CHECK(gram.width(1) == 3);

  double expected = 0.0;
  for (std::size_t t = 0; t < 5; ++t) {
    expected += static_cast<double>(view(t, 130)) * static_cast<double>(view(t, 128));
  }
  CHECK(gram.at(1, 2, 0) == Approx(expected).epsilon(1e-5));
  CHECK(gram.at(1, 0, 2) == gram.at(1, 2, 0));

  std::vector<float> divisors(channels, 1.0f);
  divisors[130] = 2.0f;
  const float diagonal = gram.diagonal(130);
  const float beside = gram.at(1, 2, 0);
  gram.divide_channels(divisors);
  CHECK(gram.diagonal(130) == diagonal / 4.0f);
  CHECK(gram.at(1, 2, 0) == beside / 2.0f);
  CHECK_THROWS_AS(gram.add(0, {x.data(), 1, 2}), qp::shape_error);
  CHECK_THROWS_AS(gram.divide_channels(std::vector<float>(2)), qp::shape_error);
}

TEST_CASE("gptq_feedback: two columns, by hand", "[calibrate]") {
  // X^T X = [[5, 3], [3, 9]]: with H^-1 = U^T U the weight of column 0's error on column 1 is
  // (H^-1)_01 / (H^-1)_00 = -3 / 9, damping aside.
  const std::vector<float> x{2.0f, 0.0f, 1.0f, 3.0f};
  const auto gram = gram_of({x.data(), 2, 2});
  const auto feedback = qp::gptq_feedback::make<qp::no_transform>(gram, 1e-6f);
  CHECK(feedback.row(0)[0] == Approx(-3.0 / 9.0).epsilon(1e-5));
  CHECK(feedback.block_end(0) == 2);
  CHECK_THROWS_AS(qp::gptq_feedback::make<qp::no_transform>(gram, 0.0f), qp::argument_error);
}

TEST_CASE("gptq: without correlations it is the fitting rule", "[calibrate]") {
  constexpr std::size_t rows = 7;
  constexpr std::size_t cols = 96;
  qp::random_source random(3);
  std::vector<float> w(rows * cols);
  for (float& v : w) v = static_cast<float>(random.normal());
  std::vector<float> identity(cols * cols);
  for (std::size_t c = 0; c < cols; ++c) identity[c * cols + c] = 1.0f;

  const auto feedback =
      qp::gptq_feedback::make<qp::no_transform>(gram_of({identity.data(), cols, cols}));
  const qp::gptq_rule<qp::absmax> rule{qp::absmax{}, &feedback};
  using recipe = qp::recipe<qp::weight<qp::w4_g32>>;
  CHECK(rounded<recipe>(w, rows, cols, rule) == rounded<recipe>(w, rows, cols, qp::absmax{}));
}

TEMPLATE_TEST_CASE("gptq: correlated inputs see at most half the error of plain rounding",
                   "[calibrate]", qp::w4a32_g32, qp::w4a8_g32_hadamard, qp::w4a8_minimum_g32,
                   qp::w8a8) {
  constexpr std::size_t rows = 24;
  constexpr std::size_t cols = 256;
  qp::random_source random(5);
  std::vector<float> w(rows * cols);
  for (float& v : w) v = static_cast<float>(random.normal());
  const std::vector<float> x = correlated(300, cols, 7);
  const qp::matrix_view<const float> view(x.data(), 300, cols);

  using transform = typename TestType::transform_type;
  const auto feedback = qp::gptq_feedback::make<transform>(gram_of(view));
  const qp::gptq_rule<qp::absmax> rule{qp::absmax{}, &feedback};
  const double plain = output_error(view, w, rounded<TestType>(w, rows, cols, qp::absmax{}));
  const double solved = output_error(view, w, rounded<TestType>(w, rows, cols, rule));
  CHECK(solved < 0.5 * plain);
}
