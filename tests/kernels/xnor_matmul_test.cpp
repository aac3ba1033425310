// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "kernels/linear_reference.hpp"
#include "kernels/on_each_target.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

using xnor_hadamard =
    qp::recipe<qp::weight<qp::binary_channel>, qp::activation<qp::quant<qp::binary, qp::per_token>>,
               qp::transform<qp::block_hadamard<32>>>;

/// mean |x| in chains of sixteen, as the kernels state it.
float mean_magnitude_of(const float* x, std::size_t n) {
  double chains[16] = {};
  for (std::size_t i = 0; i < n; ++i) chains[i % 16] += std::abs(static_cast<double>(x[i]));
  double sum = 0.0;
  for (const double chain : chains) sum += chain;
  return static_cast<float>(sum / static_cast<double>(n));
}

}  // namespace

TEMPLATE_TEST_CASE("xnor kernels: equal the scalar reference bit for bit on every target",
                   "[kernels][xnor]", qp::w1a1, xnor_hadamard) {
  std::vector<product_shape> shapes = product_shapes();
  // Past 31 words bytes are summed a second time.
  for (const std::size_t in : {1983u, 1984u, 1985u, 4100u}) {
    shapes.push_back({1, in, 17});
    shapes.push_back({6, in, 17});
  }
  for (const product_shape& s : shapes) {
    matrix x = random_matrix(s.n, s.in, s.n + 1000 * s.in);
    if (s.in > 3) {
      x(0, 1) = 0.0f;
      x(0, 2) = -0.0f;
    }
    const matrix w = random_matrix(s.out, s.in, s.in + s.out);
    const auto layer = qp::compress<TestType>(w.view());
    static_assert(decltype(layer)::uses_bits);
    const auto q = layer.quantized();
    const matrix rows = transformed<typename TestType::transform_type>(x);

    matrix expected(s.n, s.out);
    for (std::size_t t = 0; t < s.n; ++t) {
      const float beta = mean_magnitude_of(rows.view().row(t), s.in);
      for (std::size_t r = 0; r < s.out; ++r) {
        int dot = 0;
        for (std::size_t c = 0; c < s.in; ++c) {
          const int sign = rows(t, c) >= 0.0f ? 1 : -1;
          dot += sign * (q.code(r, c) == 1 ? 1 : -1);
        }
        expected(t, r) = static_cast<float>(dot) * (q.scale(r, 0) * beta);
      }
    }
    on_each_target([&]<class Isa>() {
      INFO("n " << s.n << ", in " << s.in << ", out " << s.out);
      const bool same = run_on<Isa>(layer, x).values() == expected.values();
      CHECK(same);
    });
  }
}

TEST_CASE("xnor kernels: a row with a NaN or an infinity spoils its own results alone",
          "[kernels][xnor]") {
  const auto layer = qp::compress<qp::w1a1>(random_matrix(20, 70, 1).view());
  matrix x = random_matrix(3, 70, 2);
  x(0, 69) = std::numeric_limits<float>::quiet_NaN();
  x(2, 3) = -std::numeric_limits<float>::infinity();
  on_each_target([&]<class Isa>() {
    const matrix y = run_on<Isa>(layer, x);
    for (std::size_t r = 0; r < 20; ++r) {
      CHECK(std::isnan(y(0, r)));
      CHECK(std::isfinite(y(1, r)));
      CHECK(std::isnan(y(2, r)));
    }
  });
}
