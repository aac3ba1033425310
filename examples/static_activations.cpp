// SPDX-License-Identifier: Apache-2.0
/// @file
/// @brief A layer whose activations are quantized by scales that were found beforehand.
#include <cmath>
#include <cstdio>
#include <vector>

#include "qompose/qompose.hpp"

namespace qp = qompose;

int main() {
  const std::size_t in = 256, out = 64;
  std::vector<float> weights(out * in), typical(32 * in), bias(out, 0.5f);
  for (std::size_t i = 0; i < weights.size(); ++i) {
    weights[i] = std::cos(0.3f * static_cast<float>(i * i));
  }
  for (std::size_t i = 0; i < typical.size(); ++i) {
    typical[i] = std::sin(0.7f * static_cast<float>(i * i));
  }
  const qp::matrix_view<const float> w(weights.data(), out, in);

  //! [calibrate]
  using recipe = qp::recipe<qp::weight<qp::w8_channel>,
                            qp::activation<qp::quant<qp::int8, qp::per_group<64>>, qp::calibrated>,
                            qp::transform<qp::block_hadamard<64>>>;
  qp::activation_statistics<recipe::transform_type> inputs(in);
  inputs.add({typical.data(), 32, in});  // as often as there are more rows
  const auto layer = qp::compress<recipe>(w, bias, inputs);
  //! [calibrate]

  std::vector<float> y(out);
  layer({typical.data(), 1, in}, {y.data(), 1, out});
  float exact = bias[0];
  for (std::size_t c = 0; c < in; ++c) exact += weights[c] * typical[c];
  std::printf("%zu scales from %zu rows, y[0] = %.2f, in float %.2f\n",
              layer.activation_scales().size(), inputs.n_tokens(), double{y[0]}, double{exact});
}
