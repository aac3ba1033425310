// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "qompose/core/thread_pool.hpp"
#include "qompose/nn/conv2d.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

namespace {

/// A convolution and the images it runs on.
struct convolution {
  qp::conv2d_window window;
  std::size_t groups;
  std::size_t in_channels;
  std::size_t out_channels;
  qp::image_batch images;

  std::size_t columns() const {
    return window.kernel.height * window.kernel.width * in_channels / groups;
  }
  std::size_t pixels() const { return images.count * images.height * images.width; }
  std::size_t positions() const {
    const qp::extent2d out = window.output({images.height, images.width});
    return images.count * out.height * out.width;
  }
};

/// Every way in which windows differ: odd kernels, strides, padding of one side, dilation, groups.
std::vector<convolution> convolutions() {
  return {
      {{{3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, 1, 5, 7, {2, 6, 5}},
      {{{1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}, 1, 9, 18, {1, 4, 3}},
      {{{1, 1}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}, 3, 9, 6, {1, 4, 3}},
      {{{1, 1}, {2, 2}, {0, 0}, {0, 0}, {1, 1}}, 1, 4, 3, {1, 5, 5}},
      {{{5, 2}, {2, 3}, {2, 0}, {1, 1}, {1, 1}}, 1, 3, 4, {3, 9, 8}},
      {{{3, 3}, {1, 2}, {2, 2}, {2, 2}, {2, 2}}, 1, 2, 3, {1, 8, 9}},
      {{{3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, 4, 8, 8, {1, 5, 4}},
      {{{2, 2}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}, 6, 6, 6, {1, 3, 3}},
      {{{3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}}, 1, 16, 20, {1, 30, 31}},
  };
}

/// sum over the window of weight(o, column) * pixel(row, channel), with `outside` around the image.
template <class Sum, class Weight, class Pixel>
std::vector<Sum> slow_convolution(const convolution& c, const Weight& weight, const Pixel& pixel) {
  const qp::extent2d out = c.window.output({c.images.height, c.images.width});
  const std::size_t group_in = c.in_channels / c.groups;
  const std::size_t group_out = c.out_channels / c.groups;
  std::vector<Sum> y;
  for (std::size_t n = 0; n < c.images.count; ++n) {
    for (std::size_t i = 0; i < out.height; ++i) {
      for (std::size_t j = 0; j < out.width; ++j) {
        for (std::size_t o = 0; o < c.out_channels; ++o) {
          Sum sum{};
          for (std::size_t ky = 0; ky < c.window.kernel.height; ++ky) {
            for (std::size_t kx = 0; kx < c.window.kernel.width; ++kx) {
              const auto row = static_cast<std::ptrdiff_t>(i * c.window.stride.height +
                                                           ky * c.window.dilation.height) -
                               static_cast<std::ptrdiff_t>(c.window.padding.height);
              const auto column = static_cast<std::ptrdiff_t>(j * c.window.stride.width +
                                                              kx * c.window.dilation.width) -
                                  static_cast<std::ptrdiff_t>(c.window.padding.width);
              if (row < 0 || column < 0 || row >= static_cast<std::ptrdiff_t>(c.images.height) ||
                  column >= static_cast<std::ptrdiff_t>(c.images.width)) {
                continue;  // 0 outside
              }
              const std::size_t at =
                  (n * c.images.height + static_cast<std::size_t>(row)) * c.images.width +
                  static_cast<std::size_t>(column);
              for (std::size_t k = 0; k < group_in; ++k) {
                sum += weight(o, (ky * c.window.kernel.width + kx) * group_in + k) *
                       pixel(at, o / group_out * group_in + k);
              }
            }
          }
          y.push_back(sum);
        }
      }
    }
  }
  return y;
}

}  // namespace

TEST_CASE("conv2d: float weights against the sum by definition", "[nn][conv2d]") {
  for (const convolution& c : convolutions()) {
    const matrix w = random_matrix(c.out_channels, c.columns(), 1);
    const matrix x = random_matrix(c.pixels(), c.in_channels, 2);
    const matrix b = random_matrix(1, c.out_channels, 3);
    const auto layer = qp::compress_conv2d<qp::fp32>(w.view(), c.window, c.groups, b.values());
    matrix y(c.positions(), c.out_channels, 1e30f);
    layer(x.view(), c.images, y.view());
    const auto expected = slow_convolution<double>(
        c, [&](std::size_t o, std::size_t k) { return static_cast<double>(w(o, k)); },
        [&](std::size_t p, std::size_t k) { return static_cast<double>(x(p, k)); });
    const auto magnitudes = slow_convolution<double>(
        c, [&](std::size_t o, std::size_t k) { return std::abs(static_cast<double>(w(o, k))); },
        [&](std::size_t p, std::size_t k) { return std::abs(static_cast<double>(x(p, k))); });
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const auto bias = static_cast<double>(b(0, i % c.out_channels));
      const double error = std::abs(static_cast<double>(y.values()[i]) - expected[i] - bias);
      // Each term meets a product and a sum, wrong by 2^-24 of at most the sum of magnitudes.
      const double steps = 2.0 * static_cast<double>(c.columns()) + 16.0;
      wrong += !(error <= steps * 0x1p-24 * (magnitudes[i] + std::abs(bias)));
    }
    CHECK(wrong == 0);

    matrix threaded(c.positions(), c.out_channels);
    layer(x.view(), c.images, threaded.view(), qp::thread_pool(3));
    CHECK(threaded.values() == y.values());
  }
}

TEST_CASE("conv2d: integer sums are exact, with the zero point outside", "[nn][conv2d]") {
  for (const convolution& c : convolutions()) {
    const matrix w = random_matrix(c.out_channels, c.columns(), 1);
    const matrix x = random_matrix(c.pixels(), c.in_channels, 2);
    const matrix b = random_matrix(1, c.out_channels, 3);
    const auto input = qp::affine<qp::uint8>::of_range(-1.0f, 3.0f);
    const auto output = qp::affine<qp::uint8>::of_range(-20.0f, 20.0f);
    const auto layer = qp::compress_integer_conv2d(w.view(), c.window, c.groups, b.values(), input,
                                                   output, output.all());
    std::vector<std::uint8_t> codes(x.values().size());
    qp::quantize(input, x.view(),
                 qp::matrix_view<std::uint8_t>(codes.data(), c.pixels(), c.in_channels));
    const qp::matrix_view<const std::uint8_t> xs(codes.data(), c.pixels(), c.in_channels);

    const std::size_t group_out = c.out_channels / c.groups;
    std::vector<qp::quantized_matrix<qp::w8_channel>> q;
    for (const auto& group : layer.groups()) q.push_back(group.quantized());
    const auto expected = slow_convolution<std::int64_t>(
        c,
        [&](std::size_t o, std::size_t k) {
          return std::int64_t{q[o / group_out].code(o % group_out, k)};
        },
        [&](std::size_t p, std::size_t k) {
          return std::int64_t{codes[p * c.in_channels + k]} - input.zero_point;
        });
    std::vector<std::int32_t> sums(expected.size());
    std::vector<std::uint8_t> y(expected.size());
    qp::conv2d_workspace scratch;
    layer(xs, c.images, qp::matrix_view<std::int32_t>(sums.data(), c.positions(), c.out_channels),
          qp::serial{}, scratch);
    layer(xs, c.images, qp::matrix_view<std::uint8_t>(y.data(), c.positions(), c.out_channels),
          qp::thread_pool(2), scratch);
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const std::size_t o = i % c.out_channels;
      const auto& group = layer.groups()[o / group_out];
      const auto scale = static_cast<double>(q[o / group_out].scale(o % group_out, 0));
      const auto bias = static_cast<std::int64_t>(std::nearbyint(
          static_cast<double>(b(0, o)) / (scale * static_cast<double>(input.scale))));
      wrong += sums[i] != expected[i] + bias;
      const std::int32_t code =
          output.zero_point + group.multiplier(o % group_out).multiply(sums[i]);
      wrong += y[i] != std::clamp(code, 0, 255);
    }
    CHECK(wrong == 0);

    // Floats through the same codes.
    matrix real(c.positions(), c.out_channels);
    layer(x.view(), c.images, real.view(), qp::serial{}, scratch);
    for (std::size_t i = 0; i < y.size(); ++i) wrong += real.values()[i] != output.decode(y[i]);
    CHECK(wrong == 0);
  }
}

TEST_CASE("conv2d: padding with the zero point, the worked example", "[nn][conv2d]") {
  const std::vector<std::uint8_t> x = {200, 50, 120};
  const std::vector<std::int8_t> w = {3, -2, 5};

  qp::quantized_matrix<qp::w8_channel> q(1, 3);
  q.scales().set_code(0, 0, qp::fp32::encode(1.0f));
  for (std::size_t k = 0; k < 3; ++k) q.set_code(0, k, w[k]);
  const qp::affine<qp::uint8> input{1.0f, 100};
  const qp::integer_linear<> row(q, {}, input, {1.0f, 0}, {0, 255});
  const qp::conv2d<qp::integer_linear<>> layer(
      qp::conv2d_window::same_padding({1, 3}, {1, 1}, {0, 1}), {row});
  std::vector<std::int32_t> sums(3);
  layer(qp::matrix_view<const std::uint8_t>(x.data(), 3, 1), {1, 1, 3},
        qp::matrix_view<std::int32_t>(sums.data(), 3, 1));
  CHECK(sums == std::vector<std::int32_t>{-450, 500, -190});
}

TEST_CASE("conv2d: ConvInteger's published examples", "[nn][conv2d]") {
  // ONNX operator ConvInteger: x with zero point 1, a kernel of ones.
  const std::vector<std::uint8_t> x = {2, 3, 4, 5, 6, 7, 8, 9, 10};
  qp::quantized_matrix<qp::w8_channel> q(1, 4);
  q.scales().set_code(0, 0, qp::fp32::encode(1.0f));
  for (std::size_t k = 0; k < 4; ++k) q.set_code(0, k, 1);
  const qp::integer_linear<qp::uint8, qp::int8> row(q, {}, {1.0f, 1}, {1.0f, 0}, {-128, 127});
  const auto run = [&](std::size_t padding, std::size_t size) {
    const qp::conv2d<qp::integer_linear<qp::uint8, qp::int8>> layer(
        qp::conv2d_window::same_padding({2, 2}, {1, 1}, {padding, padding}), {row});
    std::vector<std::int8_t> y(size);
    layer(qp::matrix_view<const std::uint8_t>(x.data(), 9, 1), {1, 3, 3},
          qp::matrix_view<std::int8_t>(y.data(), size, 1));
    return y;
  };
  CHECK(run(0, 4) == std::vector<std::int8_t>{12, 16, 24, 28});
  CHECK(run(1, 16) ==
        std::vector<std::int8_t>{1, 3, 5, 3, 5, 12, 16, 9, 11, 24, 28, 15, 7, 15, 17, 9});
}

TEST_CASE("conv2d: any recipe runs over the windows", "[nn][conv2d]") {
  const convolution c = convolutions().front();
  const matrix w = random_matrix(c.out_channels, c.columns(), 1);
  const matrix x = random_matrix(c.pixels(), c.in_channels, 2);
  const auto layer = qp::compress_conv2d<qp::w8a8>(w.view(), c.window);
  const auto exact = qp::compress_conv2d<qp::fp32>(w.view(), c.window);
  matrix y(c.positions(), c.out_channels);
  matrix expected(c.positions(), c.out_channels);
  layer(x.view(), c.images, y.view());
  exact(x.view(), c.images, expected.view());
  double error = 0.0;
  double size = 0.0;
  for (std::size_t i = 0; i < y.values().size(); ++i) {
    error += std::pow(static_cast<double>(y.values()[i] - expected.values()[i]), 2.0);
    size += std::pow(static_cast<double>(expected.values()[i]), 2.0);
  }
  CHECK(std::sqrt(error / size) < 0.02);  // two roundings to 8 bits
}

TEST_CASE("conv2d: wrong shapes are refused by name", "[nn][conv2d]") {
  using qompose_tests::contains;
  const matrix w(4, 9 * 2, 1.0f);
  const qp::conv2d_window window{{3, 3}, {1, 1}, {0, 0}, {0, 0}, {1, 1}};
  const auto message = [&](const auto& call) -> std::string {
    try {
      call();
    } catch (const qp::error& e) {
      return e.what();
    }
    return "nothing thrown";
  };
  const auto make = [&](qp::conv2d_window used, std::size_t groups) {
    return message(
        [&] { static_cast<void>(qp::compress_conv2d<qp::fp32>(w.view(), used, groups)); });
  };
  CHECK_THAT(make(window, 3), contains("groups: 3, expected a divisor of the 4"));
  CHECK_THAT(make({{4, 5}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}, 1), contains("18 columns"));
  CHECK_THAT(make({{3, 0}, {1, 1}, {0, 0}, {0, 0}, {1, 1}}, 1), contains("kernel: 3 x 0"));
  CHECK_THAT(make({{3, 3}, {0, 1}, {0, 0}, {0, 0}, {1, 1}}, 1), contains("stride: 0 x 1"));

  const auto layer = qp::compress_conv2d<qp::fp32>(w.view(), window);
  const auto run = [&](std::size_t rows, qp::image_batch images, std::size_t positions) {
    const matrix x(rows, 2);
    matrix y(positions, 4);
    return message([&] { layer(x.view(), images, y.view()); });
  };
  CHECK(run(20, {1, 4, 5}, 6) == "nothing thrown");
  CHECK(run(0, {0, 4, 5}, 0) == "nothing thrown");
  CHECK_THAT(run(19, {1, 4, 5}, 6), contains("conv2d: x: shape [19, 2], expected [20, 2]"));
  CHECK_THAT(run(20, {1, 4, 5}, 7), contains("conv2d: y: shape [7, 4], expected [6, 4]"));
  CHECK_THAT(run(10, {1, 2, 5}, 6), contains("height of a window: 3, expected at most"));
}
