// SPDX-License-Identifier: Apache-2.0

#include <cstddef>

#include "policy_lists.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/slow_quantize.hpp"

namespace qp = qompose;
using qompose_tests::matrix;
using qompose_tests::random_matrix;

TEMPLATE_LIST_TEST_CASE("quantize: codes are made for scales of formats that only scales take",
                        "[quantize]", qompose_tests::scale_formats) {
  using spec = qp::quant<qp::int8, qp::per_group<32>, qp::scale<TestType>>;
  matrix x = random_matrix(5, 70, 31);
  for (std::size_t c = 0; c < 70; ++c) x(2, c) *= 0x1p-60f;
  for (std::size_t c = 0; c < 70; ++c) x(3, c) = 0.0f;
  const auto q = qp::quantize<spec>(x.view());
  matrix out(5, 70, -1.0f);
  qp::dequantize(q, out.view());
  CHECK(out.values() == qompose_tests::slow_values<spec>(x).values());
  for (std::size_t r = 0; r < 5; ++r) {
    for (std::size_t g = 0; g < 3; ++g) {
      const float scale = q.scale(r, 32 * g);
      CHECK(scale == TestType::decode(q.scale_code(r, g)));
      CHECK(scale > 0.0f);
    }
  }
  CHECK(q.scale_code(3, 0) == 0);  // a group of zeros
  for (std::size_t c = 0; c < 70; ++c) CHECK(out(3, c) == 0.0f);
}
