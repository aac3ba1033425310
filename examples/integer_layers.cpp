// SPDX-License-Identifier: Apache-2.0
/// @file
/// @brief Layers whose arithmetic is integers alone, and layers of signs.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <vector>

#include "qompose/qompose.hpp"

namespace qp = qompose;

namespace {

/// Jacob et al.'s scheme on two inputs and two outputs.
void linear_layer() {
  //! [linear]
  const std::vector<float> weights{0.5f, -1.0f, 0.25f, 0.75f};
  const std::vector<float> bias{0.1f, -0.2f};
  const qp::affine<qp::uint8> input{.scale = 0.01f, .zero_point = 100};
  const qp::affine<qp::uint8> output{.scale = 2.0f / 255.0f, .zero_point = 128};
  const auto layer = qp::compress_integer({weights.data(), 2, 2}, bias, input, output);

  const std::vector<std::uint8_t> x{190, 70};  // 0.9 and -0.3
  std::vector<std::uint8_t> y(2);
  layer(qp::matrix_view<const std::uint8_t>(x.data(), 1, 2),
        qp::matrix_view<std::uint8_t>(y.data(), 1, 2));
  std::printf("linear: codes %d %d, values %.3f %.3f\n", y[0], y[1], double{output.decode(y[0])},
              double{output.decode(y[1])});
  //! [linear]
}

/// A 3 x 3 convolution of an image in floats, in integers and in signs.
void convolutions() {
  const std::size_t height = 8, width = 8, channels = 16, filters = 4;
  std::vector<float> image(height * width * channels);
  std::vector<float> weights(filters * 9 * channels);
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = std::sin(0.1f * static_cast<float>(i));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = std::cos(0.3f * static_cast<float>(i * i));
  }
  const qp::matrix_view<const float> w(weights.data(), filters, 9 * channels);
  const qp::matrix_view<const float> x(image.data(), height * width, channels);

  //! [conv2d]
  const auto window = qp::conv2d_window::same_padding({3, 3}, {1, 1}, {1, 1});
  const auto input = qp::affine<qp::uint8>::of_range(-1.0f, 1.0f);
  const auto output = qp::affine<qp::uint8>::of_range(-40.0f, 40.0f);
  const auto exact = qp::compress_conv2d<qp::fp32>(w, window);
  const auto integer = qp::compress_integer_conv2d(w, window, 1, {}, input, output, output.all());
  const auto signs = qp::compress_conv2d<qp::w1a1>(w, window);
  //! [conv2d]

  const auto run = [&](const auto& layer) {
    std::vector<float> y(height * width * filters);
    layer(x, {1, height, width}, qp::matrix_view<float>(y.data(), height * width, filters));
    return y;
  };
  const std::vector<float> wanted = run(exact);
  const auto report = [&](const char* name, std::size_t bytes, const std::vector<float>& y) {
    double error = 0.0, size = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      error += std::pow(double{y[i]} - double{wanted[i]}, 2.0);
      size += std::pow(double{wanted[i]}, 2.0);
    }
    std::printf("%s: %zu bytes, relative error %.3f\n", name, bytes, std::sqrt(error / size));
  };
  report("conv2d, integers", integer.storage_bytes(), run(integer));
  report("conv2d, signs", signs.storage_bytes(), run(signs));
}

}  // namespace

int main() {
  linear_layer();
  convolutions();
}
