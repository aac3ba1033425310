// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

namespace {

/// Least squared error of any split of sorted values into runs, by trying all of them.
double best_by_trial(const std::vector<float>& sorted, std::size_t first, std::size_t runs) {
  const auto error = [&](std::size_t from, std::size_t to) {
    double mean = 0.0;
    for (std::size_t i = from; i < to; ++i) mean += static_cast<double>(sorted[i]);
    mean /= static_cast<double>(to - from);
    double sum = 0.0;
    for (std::size_t i = from; i < to; ++i) {
      sum += (static_cast<double>(sorted[i]) - mean) * (static_cast<double>(sorted[i]) - mean);
    }
    return sum;
  };
  if (runs == 1) return error(first, sorted.size());
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t end = first + 1; end + runs - 1 <= sorted.size(); ++end) {
    least = std::min(least, error(first, end) + best_by_trial(sorted, end, runs - 1));
  }
  return least;
}

/// Squared error of values that each take their nearest entry.
double error_of(const std::vector<float>& values, const std::vector<float>& entries) {
  double sum = 0.0;
  for (const float value : values) {
    double least = std::numeric_limits<double>::infinity();
    for (const float entry : entries) {
      const double d = static_cast<double>(value) - static_cast<double>(entry);
      least = std::min(least, d * d);
    }
    sum += least;
  }
  return sum;
}

std::vector<float> fit(const qp::kmeans& rule, const std::vector<float>& values,
                       std::size_t count) {
  std::vector<float> entries(count);
  rule.fit_codebook(values.data(), values.size(), entries.data(), count);
  return entries;
}

}  // namespace

TEST_CASE("kmeans: a worked example", "[quantize][codebook]") {
  const matrix w(1, 8, {10.4f, 1.2f, 8.7f, 0.6f, 9.9f, 2.2f, 1.8f, 12.0f});
  const auto q = qp::quantize<qp::quant<qp::codebook<2, qp::fp32>, qp::per_channel>>(w.view());
  CHECK(q.codebooks().value(0, 0) == Approx(1.45));
  CHECK(q.codebooks().value(0, 1) == Approx(10.25));
  CHECK(q.value(0, 7) == Approx(10.25));
  CHECK(error_of(w.values(), fit({}, w.values(), 2)) == Approx(7.08));
}

TEST_CASE("kmeans: is exact, against trying every split", "[quantize][codebook]") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    std::vector<float> values = random_matrix(1, 13, seed).values();
    if (seed % 3 == 0) values[4] = values[5] = values[6];
    std::vector<float> sorted = values;
    std::sort(sorted.begin(), sorted.end());
    for (const std::size_t count : {2u, 3u, 4u}) {
      const std::vector<float> entries = fit({}, values, count);
      CHECK(std::is_sorted(entries.begin(), entries.end()));
      // Entries are floats, hence the slack.
      CHECK(error_of(values, entries) <= best_by_trial(sorted, 0, count) * (1 + 1e-5) + 1e-9);
    }
  }
}

TEST_CASE("kmeans: many values end close to the exact solution", "[quantize][codebook]") {
  const std::vector<float> values = random_matrix(1, 20000, 3).values();
  const double exact = error_of(values, fit({.exact_limit = 20000}, values, 8));
  const double iterated = error_of(values, fit({.exact_limit = 10000}, values, 8));
  CHECK(iterated >= exact * (1 - 1e-6));
  CHECK(iterated <= exact * 1.002);
  // Eight levels of least error for normal numbers: 0.03454 of their variance.
  CHECK(exact / 20000.0 == Approx(0.03454).epsilon(0.03));
}

TEST_CASE("kmeans: fewer values than entries are kept exactly", "[quantize][codebook]") {
  const matrix w(2, 3, {1.0f, -2.0f, 0.5f, 4.0f, 4.0f, 4.0f});
  const auto q = qp::quantize<qp::codebook4>(w.view());
  for (std::size_t r = 0; r < 2; ++r) {
    for (std::size_t c = 0; c < 3; ++c) CHECK(q.value(r, c) == w(r, c));
  }
}

TEST_CASE("codebooks: every element takes its nearest entry, the lower one at a tie",
          "[quantize][codebook]") {
  const auto check = [&]<class Spec>() {
    for (const std::size_t cols : {1u, 5u, 24u, 31u, 100u}) {
      const matrix x = random_matrix(5, cols, cols);
      const auto q = qp::quantize<Spec>(x.view());
      bool nearest = true;
      bool sorted = true;
      constexpr std::size_t count = Spec::element::entries;
      for (std::size_t r = 0; r < 5; ++r) {
        for (std::size_t c = 0; c < cols; ++c) {
          float entries[count];
          for (std::size_t k = 0; k < count; ++k) {
            entries[k] = q.codebooks().value(q.codebook(r, c), k);
          }
          sorted = sorted && std::is_sorted(entries, entries + count);
          nearest =
              nearest && q.code(r, c) == Spec::element::encode(entries, x(r, c) / q.scale(r, c));
        }
      }
      CHECK(sorted);
      CHECK(nearest);
    }
  };
  check.operator()<qp::codebook4>();
  check.operator()<qp::codebook4_shared>();
  check.operator()<qp::quant<qp::codebook<5, qp::bf16>, qp::per_group<24>>>();
  check.operator()<qp::quant<qp::codebook<100>, qp::per_block<2, 40>>>();
  check.operator()<qp::quant<qp::codebook<256, qp::fp32>, qp::per_tensor>>();
}

TEST_CASE("codebooks: entries that their format cannot hold are an error", "[quantize][codebook]") {
  const matrix x(1, 2, {1.0f, 1e6f});
  CHECK_THROWS_AS(qp::quantize<qp::codebook4>(x.view()), qp::value_error);
  CHECK_NOTHROW(qp::quantize<qp::quant<qp::codebook<16, qp::bf16>, qp::per_channel>>(x.view()));
}

TEST_CASE("codebooks: err less than uniform codes of the same width", "[quantize][codebook]") {
  const matrix x = random_matrix(8, 512, 5);
  const auto error = [&]<class Spec>() {
    matrix y(8, 512);
    qp::dequantize(qp::quantize<Spec>(x.view()), y.view());
    double sum = 0.0;
    for (std::size_t i = 0; i < x.values().size(); ++i) {
      sum += std::pow(static_cast<double>(x.values()[i]) - static_cast<double>(y.values()[i]), 2);
    }
    return sum;
  };
  CHECK(error.operator()<qp::codebook4>() < 0.7 * error.operator()<qp::w4_channel>());
}
