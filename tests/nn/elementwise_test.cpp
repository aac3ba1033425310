// SPDX-License-Identifier: Apache-2.0

#include "qompose/nn/elementwise.hpp"

#include <cmath>
#include <cstddef>
#include <vector>

#include "qompose/nn/rope.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

TEST_CASE("elementwise: wrong shapes are refused before anything is written", "[nn][elementwise]") {
  const matrix x(2, 8, 1.0f);
  const std::vector<float> gain(7, 1.0f);
  const std::vector<float> right_gain(8, 1.0f);
  matrix y(2, 8, 5.0f);
  matrix other(3, 8, 5.0f);
  CHECK_THROWS_AS(qp::rms_norm(x.view(), gain, 1e-5f, y.view()), qp::shape_error);
  CHECK_THROWS_WITH(qp::rms_norm(x.view(), gain, 1e-5f, y.view()),
                    contains("7 elements, expected 8"));
  CHECK_THROWS_WITH(qp::rms_norm(x.view(), right_gain, 1e-5f, other.view()),
                    "rms_norm: y: shape [3, 8], expected [2, 8]");
  CHECK_THROWS_WITH(qp::add(x.view(), other.view()), "add: y: shape [3, 8], expected [2, 8]");
  CHECK_THROWS_WITH(qp::swiglu(x.view(), y.view()),
                    "swiglu: gate_up: shape [2, 8], expected [2, 16]");
  CHECK(y.values() == std::vector<float>(16, 5.0f));
  CHECK(other.values() == std::vector<float>(24, 5.0f));
}

TEST_CASE("rope: wrong arguments are refused", "[nn][rope]") {
  CHECK_THROWS_AS(qp::rope_table(7, 10, 10000.0f), qp::argument_error);
  CHECK_THROWS_AS(qp::rope_table(8, 10, 0.0f), qp::argument_error);
  CHECK_THROWS_AS(qp::rope_table(8, 10, std::nanf("")), qp::argument_error);
  qp::rope_scaling scaling;
  scaling.frequency_factors = {1.0f, 1.0f, 1.0f};
  CHECK_THROWS_AS(qp::rope_table(8, 10, 1e4f, scaling), qp::shape_error);
  CHECK_THROWS_WITH(qp::rope_table(8, 10, 1e4f, scaling), contains("3 elements, expected 4"));
  scaling.factor = 0.0f;
  CHECK_THROWS_AS(qp::rope_table(8, 10, 1e4f, scaling), qp::argument_error);

  const qp::rope_table table(8, 10, 1e4f);
  matrix x(2, 16, 1.0f);
  matrix odd(2, 12, 1.0f);
  const auto half = qp::rope_pairing::half;
  CHECK_THROWS_WITH(qp::apply_rope(table, half, 0, odd.view()),
                    contains("12 columns, expected a multiple of 8"));
  CHECK_THROWS_AS(qp::apply_rope(table, half, 9, x.view()), qp::argument_error);
  CHECK(x.values() == std::vector<float>(32, 1.0f));
  CHECK_NOTHROW(qp::apply_rope(table, half, 8, x.view()));
  CHECK_THROWS_AS(qp::apply_rope(qp::rope_table(), half, 0, x.view()), qp::shape_error);
}

TEST_CASE("rope: position 0 changes nothing, frequency factors stretch each pair", "[nn][rope]") {
  const qp::rope_table table(8, 10, 1e4f);
  const matrix x = random_matrix(1, 8, 1);
  matrix y = x;
  qp::apply_rope(table, qp::rope_pairing::interleaved, 0, y.view());
  CHECK(y.values() == x.values());
  CHECK(table.head_dim() == 8);
  CHECK(table.seq_len() == 10);
  // Of every position, and of sixteen side by side.
  CHECK(table.storage_bytes() == (10 + 16) * 8 * sizeof(float));

  qp::rope_scaling scaling;
  scaling.frequency_factors = {1.0f, 2.0f, 4.0f, 8.0f};
  const qp::rope_table divided(8, 10, 1e4f, scaling);
  for (std::size_t i = 0; i < 4; ++i) {
    const double angle = 9.0 * std::pow(1e4, -static_cast<double>(i) / 4.0) /
                         static_cast<double>(scaling.frequency_factors[i]);
    CHECK(divided.cosines(9)[i] == Approx(std::cos(angle)).epsilon(1e-6));
    CHECK(divided.sines(9)[i] == Approx(std::sin(angle)).epsilon(1e-6));
  }
}

TEST_CASE("rope: scores depend on the distance of two tokens only", "[nn][rope]") {
  const qp::rope_table table(64, 1000, 1e4f);
  const auto score = [&](std::size_t i, std::size_t j, qp::rope_pairing pairing) {
    matrix q = random_matrix(1, 64, 2);
    matrix k = random_matrix(1, 64, 3);
    qp::apply_rope(table, pairing, i, q.view());
    qp::apply_rope(table, pairing, j, k.view());
    double sum = 0.0;
    for (std::size_t d = 0; d < 64; ++d) {
      sum += static_cast<double>(q(0, d)) * static_cast<double>(k(0, d));
    }
    return sum;
  };
  for (const auto pairing : {qp::rope_pairing::interleaved, qp::rope_pairing::half}) {
    // 64 products of numbers around 1, each wrong by some 2^-23.
    CHECK(std::abs(score(40, 7, pairing) - score(940, 907, pairing)) < 64 * 0x1p-21);
    CHECK(std::abs(score(40, 7, pairing) - score(40, 8, pairing)) > 1e-3);
  }
}

#if defined(_OPENMP)
TEST_CASE("elementwise: results do not depend on the threads", "[nn][elementwise]") {
  const matrix x = random_matrix(100, 66, 4);
  const matrix gain = random_matrix(1, 66, 5);
  matrix a(100, 66);
  matrix b(100, 66);
  qp::rms_norm(x.view(), gain.values(), 1e-5f, a.view());
  qp::rms_norm(x.view(), gain.values(), 1e-5f, b.view(), qp::openmp{3});
  CHECK(a.values() == b.values());
  qp::add(x.view(), a.view());
  qp::add(x.view(), b.view(), qp::openmp{3});
  CHECK(a.values() == b.values());
  matrix c(100, 33);
  matrix d(100, 33);
  qp::swiglu(x.view(), c.view());
  qp::swiglu(x.view(), d.view(), qp::openmp{3});
  CHECK(c.values() == d.values());
}
#endif
