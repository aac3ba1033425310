// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstddef>
#include <limits>
#include <tuple>
#include <vector>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/nn/activation_statistics.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;
using namespace qompose_tests;

namespace {

template <class Activations>
using stored = qp::activation<Activations, qp::calibrated>;

/// One scale in all, one a group behind a rotation, and codes that are no integers.
using calibrated_recipes = std::tuple<
    qp::w8a8_static,
    qp::recipe<qp::weight<qp::w4_g32>, stored<qp::quant<qp::int8, qp::per_group<64>>>,
               qp::transform<qp::block_hadamard<64>>>,
    qp::recipe<qp::weight<qp::w8_channel>, stored<qp::quant<qp::fp8_e4m3, qp::per_tensor>>>>;

/// A layer that has seen `x` times `factor`: below 1, some of x saturates.
template <class Recipe>
qp::linear<Recipe> layer_for(const matrix& x, std::size_t out, float factor) {
  matrix seen = x;
  for (float& value : seen.values()) value *= factor;
  qp::activation_statistics<typename Recipe::transform_type> inputs(x.cols());
  inputs.add(seen.view());
  return qp::compress<Recipe>(random_matrix(out, x.cols(), 3).view(), {}, inputs);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("calibrated: equals the scalar reference on every target",
                        "[kernels][calibrated]", calibrated_recipes) {
  for (const product_shape& s : few_shapes) {
    for (const float factor : {1.0f, 0.3f}) {
      const matrix x = random_matrix(s.n, s.in, s.n + 1000 * s.in);
      const auto layer = layer_for<TestType>(x, s.out, factor);
      const expected_products expected = expected_of(layer, x);
      on_each_target([&]<class Isa>() {
        INFO("n " << s.n << ", in " << s.in << ", out " << s.out << ", factor " << factor);
        check_products(expected, run_on<Isa>(layer, x));
      });
    }
  }
}

TEMPLATE_LIST_TEST_CASE("calibrated: what is not finite makes its own row NaN and no other",
                        "[kernels][calibrated]", calibrated_recipes) {
  const std::size_t in = 83;
  const matrix x = random_matrix(7, in, 7);
  const auto layer = layer_for<TestType>(x, 20, 1.0f);
  matrix faulty = x;
  faulty(1, 82) = std::numeric_limits<float>::quiet_NaN();
  faulty(4, 0) = std::numeric_limits<float>::infinity();
  on_each_target([&]<class Isa>() {
    CHECK(is_nan_only_in({1, 4}, run_on<Isa>(layer, faulty), run_on<Isa>(layer, x)));
  });
}

TEST_CASE("calibrated: codes are nearest, ties to even, and saturate however large the quotient",
          "[kernels][calibrated]") {
  // A layer that hands through: y is code * scale.
  const std::size_t dim = 67;
  for (const float scale : {1.0f, 0.3f, 0x1p-120f, 0x1p100f, 0x1p-149f}) {
    qp::quantized_matrix<qp::w8_channel> q(dim, dim);
    for (std::size_t r = 0; r < dim; ++r) {
      q.scales().set_code(r, 0, qp::fp32::encode(1.0f));
      q.set_code(r, r, 1);
    }
    qp::packed_matrix<qp::w8_channel> packed(dim, dim);
    packed.store(0, q);
    qp::aligned_buffer<float> scales(1);
    scales[0] = scale;
    const qp::linear<qp::w8a8_static> layer(std::move(packed), {}, {}, std::move(scales));
    matrix x(3, dim);
    for (std::size_t c = 0; c < dim; ++c) {
      const float half = (static_cast<float>(c) - 33.0f + 0.5f) * scale;
      x(0, c) = half * 4.0f;
      x(1, c) = std::nextafter(half, c % 2 == 0 ? 0.0f : 2.0f * half);
      x(2, c) = (c % 2 == 0 ? 3e38f : -3e38f) / static_cast<float>(c + 1);
    }
    for (std::size_t c = 0; c < dim; ++c) {
      for (std::size_t t = 0; t < 3; ++t) {
        if (!std::isfinite(x(t, c))) x(t, c) = 0.0f;
      }
    }
    on_each_target([&]<class Isa>() {
      const matrix y = run_on<Isa>(layer, x);
      for (std::size_t t = 0; t < 3; ++t) {
        const activation_codes wanted({x.view().row(t), dim}, 127, dim, layer.activation_scales());
        bool same = true;
        for (std::size_t c = 0; c < dim; ++c) {
          same = same && y(t, c) == static_cast<float>(wanted.codes[c]) * scale;
        }
        INFO("scale " << scale << ", row " << t);
        CHECK(same);
      }
    });
  }
}

#if defined(_OPENMP)
TEST_CASE("calibrated: results do not depend on the threads", "[kernels][calibrated]") {
  const matrix x = random_matrix(70, 300, 14);
  const auto layer = layer_for<qp::w8a8_static>(x, 200, 0.5f);
  matrix one(70, 200);
  layer(x.view(), one.view());
  for (const int threads : {2, 3}) {
    matrix many(70, 200);
    layer(x.view(), many.view(), qp::openmp{threads});
    CHECK(many.values() == one.values());
  }
}
#endif
