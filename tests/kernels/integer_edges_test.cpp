// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;
using namespace qompose_tests;

namespace {

using four_bits = qp::quant<qp::int4, qp::per_channel>;
using unsigned_bits = qp::quant<qp::uint4, qp::per_channel>;
template <class Spec>
using with_a8 = qp::recipe<qp::weight<Spec>, qp::activation<qp::a8_token>>;

/// A layer whose codes are code(r, c), all scales 1.
template <class Spec, class Code>
qp::linear<with_a8<Spec>> layer_of(std::size_t rows, std::size_t cols, Code&& code) {
  qp::quantized_matrix<Spec> q(rows, cols);
  for (std::size_t r = 0; r < rows; ++r) {
    q.scales().set_code(r, 0, qp::fp32::encode(1.0f));
    for (std::size_t c = 0; c < cols; ++c) {
      q.set_code(r, c, static_cast<typename Spec::element::storage_type>(code(r, c)));
    }
  }
  qp::packed_matrix<Spec> packed(rows, cols);
  packed.store(0, q);
  return {std::move(packed), qp::aligned_buffer<float>()};
}

/// Rows of the largest, the smallest and alternating codes, against activations of +-127.
template <class Spec>
void check_extremes() {
  constexpr int low = Spec::element::min_code;
  constexpr int high = Spec::element::max_code;
  for (const std::size_t in : {1u, 2u, 4u, 8u, 9u, 31u, 32u, 33u, 64u, 65u, 1024u, 1500u}) {
    const auto layer = layer_of<Spec>(18, in, [](std::size_t r, std::size_t c) {
      return r % 3 == 0 ? low : r % 3 == 1 ? high : (c % 2 == 0 ? low : high);
    });
    matrix x(5, in);
    for (std::size_t t = 0; t < 5; ++t) {
      for (std::size_t c = 0; c < in; ++c) {
        const bool positive =
            t == 0 || (t == 2 && c % 2 == 0) || (t == 3 && c % 4 < 2) || (t == 4 && c % 3 != 0);
        x(t, c) = positive ? 127.0f : -127.0f;
      }
    }
    for (const std::size_t n : {1u, 5u}) {
      const matrix rows(n, in,
                        {x.values().begin(), x.values().begin() + static_cast<long>(n * in)});
      const expected_products expected = expected_of(layer, rows);
      on_each_target([&]<class Isa>() {
        INFO("n " << n << ", in " << in);
        check_products(expected, run_on<Isa>(layer, rows));
      });
    }
  }
}

}  // namespace

TEST_CASE("integer kernels: no sum overflows at the ends of the codes", "[kernels][integer]") {
  SECTION("int8 weights down to -128") { check_extremes<qp::w8_channel>(); }
  SECTION("uint8 weights up to 255") { check_extremes<qp::quant<qp::uint8, qp::per_channel>>(); }
  SECTION("int4 weights") { check_extremes<four_bits>(); }
  SECTION("uint4 weights") { check_extremes<unsigned_bits>(); }
}

TEST_CASE("integer kernels: activation codes are the nearest after a true division, ties to even",
          "[kernels][integer]") {
  // A layer that hands through: y is code * scale, and the scale of these rows is known.
  const std::size_t dim = 67;
  const auto layer = layer_of<qp::w8_channel>(
      dim, dim, [](std::size_t r, std::size_t c) { return r == c ? 1 : 0; });
  matrix x = random_matrix(6, dim, 5);
  // Scale 1: every half is a tie.
  for (std::size_t c = 0; c < dim; ++c) x(0, c) = static_cast<float>(c) - 33.5f;
  x(0, 66) = 127.0f;
  for (std::size_t c = 0; c < dim; ++c) x(1, c) = 126.5f - 2.0f * static_cast<float>(c);
  x(1, 65) = -127.0f;
  // Floats next to ties, both sides.
  for (std::size_t c = 0; c < dim; ++c) {
    x(2, c) = std::nextafter(static_cast<float>(c % 33) + 0.5f, c % 2 == 0 ? 0.0f : 99.0f);
  }
  x(2, 0) = 127.0f;
  // A scale among the subnormals, and the smallest numbers there are.
  for (std::size_t c = 0; c < dim; ++c) x(3, c) = 1e-38f * x(4, c);
  for (std::size_t c = 0; c < dim; ++c) x(4, c) = static_cast<float>(c) * 0x1p-149f;

  on_each_target([&]<class Isa>() {
    for (std::size_t n : {1u, 6u}) {
      for (std::size_t t = 0; t + n <= 6; t += n) {
        const matrix rows(n, dim,
                          {x.values().begin() + static_cast<long>(t * dim),
                           x.values().begin() + static_cast<long>((t + n) * dim)});
        const matrix y = run_on<Isa>(layer, rows);
        for (std::size_t i = 0; i < n; ++i) {
          const activation_codes wanted({rows.view().row(i), dim}, 127, dim);
          bool same = true;
          for (std::size_t c = 0; c < dim; ++c) {
            same = same && y(i, c) == static_cast<float>(wanted.codes[c]) * wanted.scales[c];
          }
          INFO("row " << t + i);
          CHECK(same);
        }
      }
    }
  });
}

TEST_CASE("integer kernels: a row of zeros gives zeros, a NaN or an infinity its own row only",
          "[kernels][integer]") {
  const auto check = []<class Recipe>() {
    const std::size_t in = 83;
    const auto layer = qp::compress<Recipe>(random_matrix(20, in, 6).view());
    matrix x = random_matrix(7, in, 7);
    for (std::size_t c = 0; c < in; ++c) x(2, c) = c % 2 == 0 ? 0.0f : -0.0f;
    matrix faulty = x;
    faulty(1, 82) = std::numeric_limits<float>::quiet_NaN();
    faulty(4, 0) = std::numeric_limits<float>::infinity();
    faulty(5, 40) = -std::numeric_limits<float>::infinity();
    on_each_target([&]<class Isa>() {
      const matrix y = run_on<Isa>(layer, x);
      bool right = true;
      for (std::size_t r = 0; r < 20; ++r) right = right && y(2, r) == 0.0f;
      CHECK(right);
      CHECK(is_nan_only_in({1, 4, 5}, run_on<Isa>(layer, faulty), y));
      const matrix one(1, in,
                       std::vector<float>(faulty.values().begin() + static_cast<long>(in),
                                          faulty.values().begin() + static_cast<long>(2 * in)));
      CHECK(std::isnan(run_on<Isa>(layer, one)(0, 19)));
    });
  };
  check.operator()<qp::w8a8>();
  check.operator()<qp::w4a8_minimum_g32>();
}

TEST_CASE("integer kernels: a bias is added once, at the end", "[kernels][integer]") {
  const std::size_t in = 50;
  const matrix bias = random_matrix(1, 35, 8);
  const matrix weights = random_matrix(35, in, 9);
  const auto layer = qp::compress<qp::w8a8>(weights.view(), bias.values());
  const auto plain = qp::compress<qp::w8a8>(weights.view());
  const matrix x = random_matrix(6, in, 10);
  on_each_target([&]<class Isa>() {
    for (const std::size_t n : {1u, 6u}) {
      const matrix rows(n, in,
                        {x.values().begin(), x.values().begin() + static_cast<long>(n * in)});
      const matrix y = run_on<Isa>(layer, rows);
      const matrix without = run_on<Isa>(plain, rows);
      bool right = true;
      for (std::size_t t = 0; t < n; ++t) {
        for (std::size_t r = 0; r < 35; ++r) {
          const float sum = without(t, r) + bias(0, r);
          // A compiler may fuse the last product with the sum: half a unit of either.
          const float slack = 0x1p-23f * (std::abs(without(t, r)) + std::abs(bias(0, r)));
          right = right && std::abs(y(t, r) - sum) <= slack;
        }
      }
      CHECK(right);
    }
  });
}

TEST_CASE("integer kernels: x and y may be unaligned and their rows apart; nothing else is written",
          "[kernels][integer]") {
  const std::size_t in = 45;
  const auto layer = qp::compress<qp::w4a8_g32>(random_matrix(19, in, 11).view());
  const matrix x = random_matrix(5, in, 12);
  std::vector<float> x_apart(1 + 5 * 51, 1e30f);
  for (std::size_t t = 0; t < 5; ++t) {
    for (std::size_t c = 0; c < in; ++c) x_apart[1 + t * 51 + c] = x(t, c);
  }
  on_each_target([&]<class Isa>() {
    for (const std::size_t n : {1u, 5u}) {
      std::vector<float> y_apart(3 + 5 * 23, 77.0f);
      const qp::matrix_view<float> y(y_apart.data() + 3, n, 19, 23);
      qp::workspace scratch;
      layer.operator()<qp::serial, Isa>({x_apart.data() + 1, n, in, 51}, y, qp::serial{}, scratch);
      const matrix wanted = run_on<Isa>(
          layer,
          matrix(n, in, {x.values().begin(), x.values().begin() + static_cast<long>(n * in)}));
      bool right = true;
      for (std::size_t i = 0; i < y_apart.size(); ++i) {
        const std::size_t t = i < 3 ? n : (i - 3) / 23;
        const std::size_t r = i < 3 ? 0 : (i - 3) % 23;
        right = right && y_apart[i] == (t < n && r < 19 ? wanted(t, r) : 77.0f);
      }
      CHECK(right);
    }
  });
}

#if defined(_OPENMP)
TEST_CASE("integer kernels: results do not depend on the threads", "[kernels][integer]") {
  const auto check = []<class Recipe>(std::size_t n, std::size_t in, std::size_t out) {
    const auto layer = qp::compress<Recipe>(random_matrix(out, in, 13).view());
    const matrix x = random_matrix(n, in, 14);
    matrix one(n, out);
    layer(x.view(), one.view());
    for (const int threads : {2, 3, 5}) {
      matrix many(n, out);
      layer(x.view(), many.view(), qp::openmp{threads});
      CHECK(many.values() == one.values());
    }
  };
  check.operator()<qp::w8a8>(70, 300, 200);
  check.operator()<qp::w4a8_g32>(70, 300, 200);
  check.operator()<qp::w4a8_g32>(1, 2000, 300);
  check.operator()<qp::w4a8_minimum_g32>(130, 200, 100);
}
#endif
