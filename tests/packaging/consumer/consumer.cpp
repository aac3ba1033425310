// SPDX-License-Identifier: Apache-2.0

#include <cstdio>
#include <vector>

#include <qompose/qompose.hpp>

#if defined(HAVE_MODEL)
void use_model();
#endif

namespace qp = qompose;

int main() {
  const std::vector<float> weights(8 * 64, 0.25f);
  const std::vector<float> x(64, 1.0f);
  std::vector<float> y(8);

  using w8 = qp::quant<qp::int8, qp::per_channel>;
  const auto layer = qp::compress<w8>(qp::matrix_view<const float>(weights.data(), 8, 64));
  layer(qp::matrix_view<const float>(x.data(), 1, 64), qp::matrix_view<float>(y.data(), 1, 8));

#if defined(HAVE_MODEL)
  use_model();
#endif
  std::printf("qompose %s: %g\n", qp::version.data(), static_cast<double>(y[0]));
  return y[0] > 15.9f && y[0] < 16.1f ? 0 : 1;
}
