// SPDX-License-Identifier: Apache-2.0

#include "unit.hpp"

#include <cstddef>
#include <cstdint>

#include "qompose/core/random.hpp"
#include "qompose/qompose.hpp"

#define JOIN_NAMES_(a, b) a##b
#define JOIN_NAMES(a, b) JOIN_NAMES_(a, b)

namespace qp = qompose;

namespace {

constexpr std::size_t n_tokens = 3;
constexpr std::size_t in_features = 100;
constexpr std::size_t out_features = 70;

// Plain arrays: the templates of the standard library carry no instruction-set tag, and a test
// that fills vectors would stumble over them instead of over ours.
float weights[out_features * in_features];
float inputs[n_tokens * in_features];
float outputs[n_tokens * out_features];
float decoded[out_features * in_features];

void fill(float* values, std::size_t n, std::uint64_t seed) {
  qp::random_source random(seed);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<float>(random.uniform()) - 0.5f;
}

double sum(const float* values, std::size_t n) {
  double total = 0.0;
  for (std::size_t i = 0; i < n; ++i) total += static_cast<double>(values[i]);
  return total;
}

template <class Recipe>
double run_layer() {
  const auto layer =
      qp::compress<Recipe>(qp::matrix_view<const float>(weights, out_features, in_features));
  layer(qp::matrix_view<const float>(inputs, n_tokens, in_features),
        qp::matrix_view<float>(outputs, n_tokens, out_features));
  return sum(outputs, n_tokens * out_features);
}

}  // namespace

double JOIN_NAMES(run_, MIXED_FLAGS_UNIT)() {
  fill(weights, out_features * in_features, 1);
  fill(inputs, n_tokens * in_features, 2);

  using w4 = qp::quant<qp::int4, qp::per_group<32>, qp::scale<qp::fp16>>;
  using a8 = qp::quant<qp::int8, qp::per_token>;
  const qp::matrix_view<const float> view(weights, out_features, in_features);
  const auto codes = qp::quantize<w4>(view);
  qp::dequantize(codes, qp::matrix_view<float>(decoded, out_features, in_features));

  return sum(decoded, out_features * in_features) + run_layer<qp::recipe<>>() +
         run_layer<qp::recipe<qp::weight<w4>>>() +
         run_layer<qp::recipe<qp::weight<w4>, qp::activation<a8>>>() +
         run_layer<qp::recipe<qp::weight<w4>, qp::activation<a8>,
                              qp::transform<qp::block_hadamard<32>>>>();
}
