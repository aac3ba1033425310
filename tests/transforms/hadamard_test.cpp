// SPDX-License-Identifier: Apache-2.0

#include "qompose/transforms/hadamard.hpp"

#include <bit>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "qompose/transforms/random_signs.hpp"
#include "qompose/transforms/then.hpp"
#include "qompose/transforms/walsh_hadamard.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

TEST_CASE("hadamard_matrix: rows of every order are orthogonal in integers",
          "[transforms][hadamard]") {
  std::size_t orders = 0;
  for (std::size_t order = 1; order <= qp::detail::hadamard_matrix::largest_order; ++order) {
    if (!qp::detail::hadamard_matrix::exists(order)) continue;
    ++orders;
    const qp::detail::hadamard_matrix h(order);
    std::vector<int> signs(order * order);
    for (std::size_t i = 0; i < order; ++i) {
      for (std::size_t j = 0; j < order; ++j) {
        signs[i * order + j] = h.is_negative(i, j) ? -1 : 1;
      }
    }
    bool right = true;
    for (std::size_t i = 0; i < order; ++i) {
      for (std::size_t k = 0; k <= i; ++k) {
        int sum = 0;
        for (std::size_t j = 0; j < order; ++j) sum += signs[i * order + j] * signs[k * order + j];
        right = right && sum == (i == k ? static_cast<int>(order) : 0);
      }
    }
    INFO("order " << order);
    CHECK(right);
  }
  // Paley I has 22 of them up to 256, Paley II 15 more, Williamson's sequences three.
  CHECK(orders == 40);
  CHECK(!qp::detail::hadamard_matrix::exists(2));
  CHECK(!qp::detail::hadamard_matrix::exists(156));
  CHECK(!qp::detail::hadamard_matrix::exists(100));
}

TEST_CASE("hadamard: rows of models are cut into the known factors", "[transforms][hadamard]") {
  for (const auto& [n, order] : std::vector<std::pair<std::size_t, std::size_t>>{
           {1, 1},       {4096, 1},    {576, 36},    {768, 12},   {896, 28},    {1536, 12},
           {3072, 12},   {3584, 28},   {4864, 76},   {5120, 20},  {5632, 44},   {6656, 52},
           {8960, 140},  {11008, 172}, {13824, 108}, {14336, 28}, {17920, 140}, {18944, 148},
           {27648, 108}, {28672, 28},  {92 * 8, 92}}) {
    INFO("n " << n);
    CHECK(qp::hadamard::order_for(n) == order);
    const qp::hadamard::data data = qp::hadamard::data_for(n);
    CHECK(data.order * data.width == n);
    CHECK(data.storage_bytes() == (order > 1 ? order * order / 4 : 0));
  }
  // No matrix of order 39 2^a up to 256: blocks of 64.
  CHECK(qp::hadamard::order_for(39 * 64) == 1);
  CHECK(qp::hadamard::data_for(39 * 64).width == 64);
  CHECK(qp::hadamard::data_for(37).width == 1);
}

TEST_CASE("hadamard: is the Kronecker product of both matrices over the root of the length",
          "[transforms][hadamard]") {
  for (const std::size_t n : {1u, 2u, 8u, 12u, 24u, 37u, 60u, 64u, 76u, 78u, 104u, 344u, 576u}) {
    const qp::hadamard::data data = qp::hadamard::data_for(n);
    const std::size_t length = data.order * data.width;
    const matrix x = random_matrix(1, n, n);
    matrix y = x;
    qp::hadamard::forward(data, y.values().data(), n);
    double worst = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      double sum = 0.0;
      double size = 0.0;
      for (std::size_t j = i / length * length; j < i / length * length + length; ++j) {
        const std::size_t row = i % length;
        const std::size_t col = j % length;
        bool negative = std::popcount(row % data.width & col % data.width) % 2 == 1;
        if (data.order > 1 && qp::detail::hadamard_matrix(data.order)
                                  .is_negative(row / data.width, col / data.width)) {
          negative = !negative;
        }
        const auto value = static_cast<double>(x(0, j));
        sum += negative ? -value : value;
        size += std::abs(value);
      }
      const double wanted = sum / std::sqrt(static_cast<double>(length));
      worst = std::fmax(worst, std::abs(static_cast<double>(y(0, i)) - wanted) / size);
    }
    INFO("n " << n);
    // Up to log2(m) + K / 4 + 3 additions and a product, each wrong by at most 2^-24 of the sum of
    // magnitudes, which the factor makes smaller for all but the shortest rows.
    CHECK(worst <= 12 * 0x1p-24);
  }
}

TEST_CASE("hadamard: keeps the norm of rows as long as those of models, and unfold undoes fold",
          "[transforms][hadamard]") {
  for (const std::size_t n : {576u, 768u, 1536u, 5120u, 11008u, 14336u, 28672u}) {
    const qp::hadamard::data data = qp::hadamard::data_for(n);
    const matrix x = random_matrix(1, n, n);
    matrix y = x;
    qp::hadamard::fold(data, y.values().data(), n);
    double before = 0.0;
    double after = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      before += static_cast<double>(x(0, i)) * static_cast<double>(x(0, i));
      after += static_cast<double>(y(0, i)) * static_cast<double>(y(0, i));
    }
    INFO("n " << n);
    // Roundings are independent, so their sum over a row nearly cancels.
    CHECK(std::abs(after / before - 1.0) < 1e-6);
    qp::hadamard::unfold(data, y.values().data(), n);
    double worst = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      worst =
          std::fmax(worst, std::abs(static_cast<double>(y(0, i)) - static_cast<double>(x(0, i))));
    }
    // Some 60 roundings of numbers of size 4 or less, which add up as a random walk does.
    CHECK(worst < 5e-6);
  }
}

TEST_CASE("hadamard: spreads a spike evenly, and an outlier over its row",
          "[transforms][hadamard]") {
  for (const std::size_t n : {64u, 768u, 11008u}) {
    const qp::hadamard::data data = qp::hadamard::data_for(n);
    matrix spike(1, n, 0.0f);
    spike(0, n / 3) = 1.0f;
    qp::hadamard::forward(data, spike.values().data(), n);
    bool even = true;
    for (const float value : spike.values()) even = even && std::abs(value) == data.factor;
    INFO("n " << n);
    CHECK(even);
  }

  // Normal numbers and a 100: peak over root mean square falls from 53.9 to about 2.7.
  const auto peak_ratio = [](const matrix& m) {
    double peak = 0.0;
    double squares = 0.0;
    for (const float v : m.values()) {
      peak = std::fmax(peak, std::abs(static_cast<double>(v)));
      squares += static_cast<double>(v) * static_cast<double>(v);
    }
    return peak / std::sqrt(squares / static_cast<double>(m.cols()));
  };
  matrix row = random_matrix(1, 4096, 1);
  row(0, 100) = 100.0f;
  CHECK(std::abs(peak_ratio(row) - 53.9) < 0.5);
  qp::hadamard::forward(qp::hadamard::data_for(4096), row.values().data(), 4096);
  CHECK(std::abs(peak_ratio(row) - 2.7) < 0.4);
}

TEST_CASE("walsh_hadamard: of 0 .. 7", "[transforms][hadamard]") {
  std::vector<float> row{0, 1, 2, 3, 4, 5, 6, 7};
  qp::detail::walsh_hadamard(row.data(), row.size());
  CHECK(row == std::vector<float>{28, -4, -8, 0, -16, 0, 0, 0});
}

TEST_CASE("hadamard: data of another length is refused", "[transforms][hadamard]") {
  CHECK_NOTHROW(qp::hadamard::require(qp::hadamard::data_for(0), 0));
  CHECK_NOTHROW(qp::hadamard::require(qp::hadamard::data_for(39 * 64), 39 * 64));
  for (const auto& [made, wanted] : std::vector<std::pair<std::size_t, std::size_t>>{
           {0, 4}, {4, 0}, {768, 769}, {768, 1536}, {64, 128}, {128, 64}, {39, 39 * 64}}) {
    INFO(made << " for " << wanted);
    CHECK_THROWS_AS(qp::hadamard::require(qp::hadamard::data_for(made), wanted), qp::shape_error);
  }
}

TEST_CASE("random_signs: stay what the seed says", "[transforms]") {
  const auto data = qp::random_signs<1>::data_for(130);
  qp::random_source source(1);
  for (std::size_t c = 0; c < 130; c += 64) {
    const std::uint64_t word = source.bits();
    for (std::size_t i = c; i < c + 64 && i < 130; ++i) {
      CHECK(data.factors[i] == ((word >> (i - c) & 1) != 0 ? -1.0f : 1.0f));
    }
  }
  CHECK_THROWS_AS(qp::random_signs<1>::require(data, 129), qp::shape_error);
  using both = qp::then<qp::random_signs<1>, qp::hadamard>;
  CHECK(both::name == "then<random_signs<1>, hadamard>");
  CHECK_THROWS_AS(both::require(both::data_for(130), 129), qp::shape_error);
}
