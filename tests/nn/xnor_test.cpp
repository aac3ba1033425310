// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>
#include <vector>

#include "qompose/core/thread_pool.hpp"
#include "qompose/nn/conv2d.hpp"
#include "qompose/nn/linear.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

namespace {

const matrix worked_w(1, 6, {1.1f, 2.2f, 0.1f, -0.1f, -5.5f, -6.6f});
const matrix worked_x(1, 6, {0.5f, -1.5f, 2.0f, -0.25f, 1.0f, -3.0f});

float sign(float v) { return v >= 0.0f ? 1.0f : -1.0f; }

}  // namespace

TEST_CASE("binary weights: the worked example", "[nn][xnor]") {
  const auto layer = qp::compress<qp::w1a32>(worked_w.view());
  CHECK(layer.quantized().scale(0, 0) == Approx(2.6));
  double error = 0.0;
  matrix dense(1, 6);
  qp::dequantize(layer, dense.view());
  for (std::size_t c = 0; c < 6; ++c) error += std::pow(dense(0, c) - worked_w(0, c), 2.0);
  CHECK(error == Approx(39.32).epsilon(1e-4));

  // alpha (2 sum of x where the sign is positive - sum of x).
  matrix y(1, 1);
  layer(worked_x.view(), y.view());
  CHECK(y(0, 0) == Approx(2.6 * (2.0 * (0.5 - 1.5 + 2.0) - (-1.25))));
}

TEST_CASE("xnor: the worked example", "[nn][xnor]") {
  const auto layer = qp::compress<qp::w1a1>(worked_w.view());
  static_assert(qp::linear<qp::w1a1>::uses_bits);
  matrix y(1, 1);
  layer(worked_x.view(), y.view());
  const double beta = (0.5 + 1.5 + 2.0 + 0.25 + 1.0 + 3.0) / 6.0;
  CHECK(y(0, 0) == Approx(2.6 * beta * 2.0));
  CHECK(y(0, 0) == Approx(7.15));
}

TEST_CASE("xnor: a weight takes one bit, and the bias is added", "[nn][xnor]") {
  const matrix w = random_matrix(32, 256, 1);
  const matrix b = random_matrix(1, 32, 2);
  const auto layer = qp::compress<qp::w1a1>(w.view(), b.values());
  CHECK(layer.storage_bytes() == 32 * 256 / 8 + 32 * 4 + 32 * 4);

  const auto plain = qp::compress<qp::w1a1>(w.view());
  const matrix x = random_matrix(70, 256, 3);
  matrix y(70, 32);
  matrix without(70, 32);
  layer(x.view(), y.view(), qp::thread_pool(3));
  plain(x.view(), without.view());
  for (std::size_t t = 0; t < 70; ++t) {
    for (std::size_t r = 0; r < 32; ++r) {
      // One rounding of the sum, or none of the product where they are fused.
      const float sum = without(t, r) + b(0, r);
      CHECK(std::abs(y(t, r) - sum) <= 0x1p-23f * (std::abs(without(t, r)) + std::abs(sum)));
    }
  }
}

TEST_CASE("xnor: convolutions are scaled by the K map", "[nn][xnor]") {
  const std::size_t channels = 5;
  const std::size_t out_channels = 7;
  const qp::image_batch images{2, 6, 5};
  const matrix x = random_matrix(images.count * images.height * images.width, channels, 1);
  const matrix w = random_matrix(out_channels, 9 * channels, 2);
  const auto layer = qp::compress_conv2d<qp::w1a1>(
      w.view(), qp::conv2d_window::same_padding({3, 3}, {1, 1}, {1, 1}));
  matrix y(x.rows(), out_channels);
  layer(x.view(), images, y.view());

  // K = A * k, A the mean magnitude over channels, k a 3 x 3 box of 1/9; 0 outside.
  const auto pixel = [&](std::size_t n, std::ptrdiff_t i, std::ptrdiff_t j) -> std::ptrdiff_t {
    const auto height = static_cast<std::ptrdiff_t>(images.height);
    const auto width = static_cast<std::ptrdiff_t>(images.width);
    if (i < 0 || j < 0 || i >= height || j >= width) return -1;
    return (static_cast<std::ptrdiff_t>(n) * height + i) * width + j;
  };
  std::size_t wrong = 0;
  for (std::size_t n = 0; n < images.count; ++n) {
    for (std::size_t i = 0; i < images.height; ++i) {
      for (std::size_t j = 0; j < images.width; ++j) {
        double k = 0.0;
        std::vector<double> dots(out_channels);
        for (std::size_t tap = 0; tap < 9; ++tap) {
          const std::ptrdiff_t at = pixel(n, static_cast<std::ptrdiff_t>(i + tap / 3) - 1,
                                          static_cast<std::ptrdiff_t>(j + tap % 3) - 1);
          for (std::size_t c = 0; c < channels; ++c) {
            const float value = at < 0 ? 0.0f : x(static_cast<std::size_t>(at), c);
            k += std::abs(static_cast<double>(value)) / static_cast<double>(channels) / 9.0;
            for (std::size_t o = 0; o < out_channels; ++o) {
              dots[o] += static_cast<double>(sign(value) * sign(w(o, tap * channels + c)));
            }
          }
        }
        for (std::size_t o = 0; o < out_channels; ++o) {
          const auto alpha = static_cast<double>(layer.groups()[0].quantized().scale(o, 0));
          const double expected = dots[o] * k * alpha;
          const auto got = static_cast<double>(y((n * images.height + i) * images.width + j, o));
          // beta, alpha beta and the product are rounded to float.
          wrong += !(std::abs(got - expected) <= 4.0 * 0x1p-24 * std::abs(expected));
        }
      }
    }
  }
  CHECK(wrong == 0);
}
