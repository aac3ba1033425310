// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "qompose/core/thread_pool.hpp"
#include "qompose/nn/integer_linear.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

namespace {

using w8_tensor = qp::quant<qp::int8, qp::per_tensor>;

/// int8 weights as they are: scale 1.
qp::quantized_matrix<w8_tensor> integers(std::size_t rows, std::size_t cols,
                                         const std::vector<int>& codes) {
  qp::quantized_matrix<w8_tensor> q(rows, cols);
  q.scales().set_code(0, 0, qp::fp32::encode(1.0f));
  for (std::size_t i = 0; i < codes.size(); ++i) {
    q.set_code(i / cols, i % cols, static_cast<std::int8_t>(codes[i]));
  }
  return q;
}

}  // namespace

TEST_CASE("integer_linear: the worked example of Jacob et al.'s scheme", "[nn][integer_linear]") {
  const matrix w(2, 2, {0.5f, -1.0f, 0.25f, 0.75f});
  const std::vector<float> bias = {0.1f, -0.2f};
  const qp::affine<qp::uint8> input{0.01f, 100};
  const qp::affine<qp::uint8> output{2.0f / 255.0f, 128};
  const auto layer =
      qp::compress_integer<qp::uint8, qp::uint8, w8_tensor>(w.view(), bias, input, output);

  CHECK(layer.quantized().code(0, 0) == 64);
  CHECK(layer.quantized().code(0, 1) == -127);
  CHECK(layer.quantized().code(1, 0) == 32);
  CHECK(layer.quantized().code(1, 1) == 95);
  CHECK(layer.q_bias(0) == 7570);
  CHECK(layer.q_bias(1) == -15240);
  CHECK(layer.multiplier(0).shift == 6);
  CHECK(layer.multiplier(0).value() == Approx(0.010039370).epsilon(1e-6));

  const matrix x(1, 2, {0.9f, -0.3f});
  std::vector<std::uint8_t> codes(2);
  qp::quantize(input, x.view(), qp::matrix_view<std::uint8_t>(codes.data(), 1, 2));
  CHECK(codes == std::vector<std::uint8_t>{190, 70});

  const qp::matrix_view<const std::uint8_t> xs(codes.data(), 1, 2);
  qp::workspace scratch;
  std::vector<std::int32_t> sums(2);
  layer(xs, qp::matrix_view<std::int32_t>(sums.data(), 1, 2), qp::serial{}, scratch);
  CHECK(sums == std::vector<std::int32_t>{10840, -2510});

  std::vector<std::uint8_t> y(2);
  layer(xs, qp::matrix_view<std::uint8_t>(y.data(), 1, 2));
  CHECK(y == std::vector<std::uint8_t>{237, 103});

  matrix real(1, 2);
  layer(x.view(), real.view(), qp::serial{}, scratch);
  CHECK(real(0, 0) == Approx(0.854902));
  CHECK(real(0, 1) == Approx(-0.196078));
}

TEST_CASE("integer_linear: MatMulInteger's published example", "[nn][integer_linear]") {
  // ONNX operator MatMulInteger, test_matmulinteger: A - 12 times B.
  const auto w = integers(2, 3, {1, 2, 3, 4, 5, 6});
  const qp::integer_linear<qp::uint8, qp::int8, w8_tensor> layer(w, {}, {1.0f, 12}, {1.0f, 0},
                                                                 {-128, 127});
  const std::vector<std::uint8_t> x = {11, 7, 3, 10, 6, 2, 9, 5, 1, 8, 4, 0};
  const std::vector<std::int8_t> expected = {-38, -83, -44, -98, -50, -113, -56, -128};
  std::vector<std::int8_t> y(8);
  layer(qp::matrix_view<const std::uint8_t>(x.data(), 4, 3),
        qp::matrix_view<std::int8_t>(y.data(), 4, 2));
  CHECK(y == expected);
}

TEST_CASE("integer_linear: sums stand for the layer of rounded floats", "[nn][integer_linear]") {
  const std::size_t in = 37;
  const std::size_t out = 19;
  const matrix w = random_matrix(out, in, 1);
  const matrix x = random_matrix(5, in, 2);
  const matrix b = random_matrix(1, out, 3);
  const auto input = qp::affine<qp::uint8>::of_range(-3.0f, 2.5f);
  const auto layer = qp::compress_integer(w.view(), b.values(), input,
                                          qp::affine<qp::uint8>::of_range(-20.0f, 20.0f));
  std::vector<std::uint8_t> codes(5 * in);
  qp::quantize(input, x.view(), qp::matrix_view<std::uint8_t>(codes.data(), 5, in));
  std::vector<std::int32_t> sums(5 * out);
  qp::workspace scratch;
  layer(qp::matrix_view<const std::uint8_t>(codes.data(), 5, in),
        qp::matrix_view<std::int32_t>(sums.data(), 5, out), qp::serial{}, scratch);

  const auto q = layer.quantized();
  for (std::size_t t = 0; t < 5; ++t) {
    for (std::size_t r = 0; r < out; ++r) {
      const auto unit = static_cast<double>(q.scale(r, 0)) * static_cast<double>(input.scale);
      double y = unit * std::nearbyint(static_cast<double>(b(0, r)) / unit);
      for (std::size_t c = 0; c < in; ++c) {
        y += static_cast<double>(q.scale(r, 0)) * static_cast<double>(q.code(r, c)) *
             static_cast<double>(input.scale) * (codes[t * in + c] - input.zero_point);
      }
      CHECK(std::abs(sums[t * out + r] * unit - y) <= 1e-12 * std::abs(y) + 1e-12);
    }
  }
}

TEST_CASE("integer_linear: weights of fewer bits", "[nn][integer_linear]") {
  const matrix w = random_matrix(21, 75, 1);
  const auto layer =
      qp::compress_integer<qp::uint8, qp::int8, qp::quant<qp::int6, qp::per_channel>>(
          w.view(), {}, {0.02f, 100}, {0.1f, 0});
  const auto q = layer.quantized();
  std::vector<std::uint8_t> x(9 * 75);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<std::uint8_t>(37 * i);
  std::vector<std::int32_t> sums(9 * 21);
  qp::workspace scratch;
  layer(qp::matrix_view<const std::uint8_t>(x.data(), 9, 75),
        qp::matrix_view<std::int32_t>(sums.data(), 9, 21), qp::serial{}, scratch);
  for (std::size_t t = 0; t < 9; ++t) {
    for (std::size_t r = 0; r < 21; ++r) {
      std::int32_t sum = layer.q_bias(r);
      for (std::size_t c = 0; c < 75; ++c) sum += q.code(r, c) * x[t * 75 + c];
      CHECK(sums[t * 21 + r] == sum);
    }
  }
}

TEST_CASE("integer_linear: bounds are the fused activations", "[nn][integer_linear]") {
  const auto w = integers(1, 1, {1});
  const qp::affine<qp::int8> input{0.1f, -3};
  const qp::affine<qp::int8> output{0.1f, 5};
  const auto run = [&](qp::code_bounds bounds, int x) {
    const qp::integer_linear<qp::int8, qp::int8, w8_tensor> layer(w, {}, input, output, bounds);
    const auto code = static_cast<std::int8_t>(x);
    std::int8_t y = 0;
    layer(qp::matrix_view<const std::int8_t>(&code, 1, 1), qp::matrix_view<std::int8_t>(&y, 1, 1));
    return int{y};
  };
  CHECK(run(output.all(), -128) == -120);
  CHECK(run(output.all(), 127) == 127);
  CHECK(run(output.at_least(0.0f), -128) == 5);
  CHECK(run(output.at_least(0.0f), 0) == 8);
  CHECK(run(output.between(0.0f, 6.0f), 127) == 65);
}

TEST_CASE("integer_linear: no tokens, no rows, a bias past int32", "[nn][integer_linear]") {
  const matrix w(2, 3, {1e-12f, 0.0f, -1e-12f, 1.0f, 2.0f, 3.0f});
  const std::vector<float> bias = {0.75f, -0.5f};
  const auto input = qp::affine<qp::uint8>::of_range(-1.0f, 1.0f);
  const auto output = qp::affine<qp::uint8>::of_range(-1.0f, 1.0f);
  const auto layer = qp::compress_integer(w.view(), bias, input, output);
  CHECK(layer.quantized().code(0, 0) == 0);  // its scale was raised until the bias fits

  qp::workspace scratch;
  layer(matrix(0, 3).view(), matrix(0, 2).view(), qp::serial{}, scratch);
  matrix y(1, 2);
  const matrix x(1, 3, {1.0f, 1.0f, 1.0f});
  layer(x.view(), y.view(), qp::serial{}, scratch);
  CHECK(std::abs(y(0, 0) - 0.75f) <= 0.5f * output.scale);
  CHECK(y(0, 1) == output.decode(255));

  const auto empty = qp::compress_integer(matrix(0, 3).view(), {}, input, output);
  empty(x.view(), matrix(1, 0).view(), qp::serial{}, scratch);
  CHECK(empty.out_features() == 0);
}

TEST_CASE("integer_linear: the result does not depend on who runs it", "[nn][integer_linear]") {
  const matrix w = random_matrix(600, 130, 1);
  const matrix x = random_matrix(70, 130, 2);
  const auto layer =
      qp::compress_integer(w.view(), {}, qp::affine<qp::uint8>::of_range(-4.0f, 4.0f),
                           qp::affine<qp::uint8>::of_range(-30.0f, 30.0f));
  qp::workspace scratch;
  matrix expected(70, 600);
  matrix y(70, 600);
  layer(x.view(), expected.view(), qp::serial{}, scratch);
  layer(x.view(), y.view(), qp::thread_pool(3), scratch);
  CHECK(y.values() == expected.values());
}

TEST_CASE("integer_linear: what it cannot hold is refused by name", "[nn][integer_linear]") {
  using qompose_tests::contains;
  const matrix w(2, 3, 1.0f);
  const std::vector<float> bias = {0.0f, 0.0f};
  using codes = qp::affine<qp::uint8>;
  const auto message = [&](const auto& make) -> std::string {
    try {
      static_cast<void>(make());
    } catch (const qp::error& e) {
      return e.what();
    }
    return "nothing thrown";
  };
  const auto with = [&](codes input, codes output) {
    return message([&] { return qp::compress_integer(w.view(), bias, input, output); });
  };
  CHECK_THAT(with({0.0f, 0}, {1.0f, 0}), contains("input: scale: 0.0"));
  CHECK_THAT(with({1.0f, 256}, {1.0f, 0}), contains("input: zero_point: 256"));
  CHECK_THAT(with({1.0f, 0}, {1.0f, -1}), contains("output: zero_point: -1"));
  CHECK_THAT(with({1.0f, 0}, {1e-12f, 0}), contains("less than 2^30"));
  CHECK_THAT(
      message([&] { return qp::compress_integer(w.view(), {bias.data(), 1}, codes{}, codes{}); }),
      contains("bias: 1 elements, expected 2"));
  CHECK_THAT(message([&] {
               return qp::compress_integer(w.view(), bias, codes{}, codes{}, qp::code_bounds{4, 3});
             }),
             contains("bounds: [4, 3]"));
  const std::vector<float> infinite = {0.0f, std::numeric_limits<float>::infinity()};
  CHECK_THAT(message([&] { return qp::compress_integer(w.view(), infinite, codes{}, codes{}); }),
             contains("bias: element (0, 1) is infinite"));
  // 127 * 128 * 140000 > 2^31.
  CHECK_THAT(message([&] {
               return qp::compress_integer(matrix(1, 140000, 1.0f).view(), {}, codes{}, codes{});
             }),
             contains("sums reach"));

  const auto layer = qp::compress_integer(w.view(), bias, codes{}, codes{});
  const std::vector<std::uint8_t> x(4);
  std::vector<std::uint8_t> y(2);
  CHECK_THROWS_AS(layer(qp::matrix_view<const std::uint8_t>(x.data(), 1, 4),
                        qp::matrix_view<std::uint8_t>(y.data(), 1, 2)),
                  qp::shape_error);
}

TEST_CASE("affine: codes are those of its definition", "[nn][affine]") {
  const auto check = [](auto q) {
    using code = typename decltype(q)::code_type;
    matrix x = random_matrix(3, 77, 9);
    for (std::size_t i = 0; i < 60; ++i) x.values()[i] = q.scale * (static_cast<float>(i) - 30.5f);
    x(2, 0) = std::numeric_limits<float>::infinity();
    x(2, 1) = 1e30f;
    x(2, 2) = -1e30f;
    std::vector<code> codes(x.values().size());
    qp::quantize(q, x.view(), qp::matrix_view<code>(codes.data(), 3, 77));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < codes.size(); ++i) wrong += codes[i] != q.encode(x.values()[i]);
    CHECK(wrong == 0);
  };
  check(qp::affine<qp::uint8>{0.03f, 128});
  check(qp::affine<qp::uint8>{0.5f, 0});
  check(qp::affine<qp::int8>{0.03f, 0});
  check(qp::affine<qp::int8>{0.02f, -100});

  const auto q = qp::affine<qp::uint8>::of_range(-1.0f, 3.0f);
  CHECK(q.zero_point == 64);
  CHECK(q.decode(q.encode(0.0f)) == 0.0f);
  CHECK(qp::affine<qp::int8>::of_range(0.0f, 0.0f).scale == 1.0f);
  CHECK(qp::affine<qp::int8>::of_range(1.0f, 2.0f).zero_point == -128);
  CHECK_THROWS_AS(qp::affine<qp::int8>::of_range(1.0f, -2.0f), qp::argument_error);
}
