// SPDX-License-Identifier: Apache-2.0

#include <bit>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include "policy_lists.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/transform_data.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

TEMPLATE_LIST_TEST_CASE("transforms: unfold undoes fold, and products survive forward and fold",
                        "[transforms]", qompose_tests::transforms) {
  for (std::size_t n = 1; n <= 130; ++n) {
    const typename TestType::data data = qompose_tests::some_data<TestType>(n);
    const matrix x = random_matrix(1, n, n);
    const matrix w = random_matrix(1, n, 1000 + n);
    matrix forward = x;
    matrix folded = w;
    TestType::forward(data, forward.values().data(), n);
    TestType::fold(data, folded.values().data(), n);

    double plain = 0.0;
    double transformed = 0.0;
    double size = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      plain += static_cast<double>(x(0, i)) * static_cast<double>(w(0, i));
      transformed += static_cast<double>(forward(0, i)) * static_cast<double>(folded(0, i));
      size += std::abs(static_cast<double>(x(0, i)) * static_cast<double>(w(0, i)));
    }
    TestType::unfold(data, folded.values().data(), n);
    double worst = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < n; ++i) {
      norm += static_cast<double>(w(0, i)) * static_cast<double>(w(0, i));
      worst = std::fmax(worst, std::abs(static_cast<double>(folded(0, i) - w(0, i))));
    }
    // An orthogonal map in 10 or fewer rounded steps each way errs by 20 2^-24 of the norm.
    CHECK(worst <= 20 * 0x1p-24 * std::sqrt(norm));
    CHECK(std::abs(plain - transformed) <= 40 * 0x1p-24 * (size + norm + static_cast<double>(n)));
  }
}

TEST_CASE("block_hadamard: multiplies each block by the Sylvester matrix", "[transforms]") {
  using transform = qp::block_hadamard<16>;
  for (const std::size_t n : {1u, 2u, 3u, 16u, 17u, 31u, 37u, 64u}) {
    const matrix x = random_matrix(1, n, n);
    matrix y = x;
    transform::forward({}, y.values().data(), n);
    std::size_t first = 0;
    while (first < n) {
      // Whole blocks first, then descending powers of two.
      const std::size_t length = n - first >= 16 ? 16 : std::bit_floor(n - first);
      for (std::size_t i = 0; i < length; ++i) {
        double sum = 0.0;
        double size = 0.0;
        for (std::size_t j = 0; j < length; ++j) {
          const double sign = std::popcount(i & j) % 2 == 0 ? 1.0 : -1.0;
          sum += sign * static_cast<double>(x(0, first + j));
          size += std::abs(static_cast<double>(x(0, first + j)));
        }
        const double root = std::sqrt(static_cast<double>(length));
        // Four additions and a product, each wrong by 2^-24 of at most the sum of magnitudes, and
        // a factor that is rounded itself.
        CHECK(std::abs(static_cast<double>(y(0, first + i)) - sum / root) <= 6 * 0x1p-24 * size);
      }
      first += length;
    }
  }
}

TEST_CASE("block_hadamard: spreads one spike evenly", "[transforms]") {
  matrix x(1, 64, 0.0f);
  x(0, 5) = 8.0f;
  qp::block_hadamard<64>::forward({}, x.values().data(), 64);
  for (const float value : x.values()) CHECK(std::abs(value) == 1.0f);
}

TEST_CASE("block_hadamard: its factor is the nearest float to 1 / sqrt(block)", "[transforms]") {
  using transform = qp::block_hadamard<65536>;
  for (std::size_t length = 1; length <= 65536; length *= 2) {
    CHECK(transform::normalization(length) ==
          static_cast<float>(1.0 / std::sqrt(static_cast<double>(length))));
  }
  CHECK(transform::block_at(70000) == 65536);
  CHECK(transform::block_at(65535) == 32768);
  CHECK(transform::block_at(1) == 1);
}

TEMPLATE_TEST_CASE("transforms: store nothing they do not need", "[transforms]", qp::no_transform,
                   qp::block_hadamard<64>) {
  CHECK(std::is_empty_v<TestType>);
  CHECK(std::is_empty_v<typename TestType::data>);
}
