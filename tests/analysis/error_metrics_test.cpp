// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "qompose/analysis/xtensor.hpp"

#include "qompose/offline.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

TEST_CASE("measure_error: worked example", "[analysis]") {
  const std::vector<float> original{1.0f, -2.0f, 0.0f, 2.0f};
  const std::vector<float> approximation{1.5f, -2.0f, 0.5f, 0.0f};
  const qp::error_metrics m =
      qp::measure_error({approximation.data(), 2, 2}, {original.data(), 2, 2});
  // Differences 0.5, 0, 0.5, -2: squares sum to 4.5; the original's to 9.
  CHECK(m.mean_squared == 4.5 / 4);
  CHECK(m.relative_mean_squared == 0.5);
  CHECK(m.sqnr_db == Approx(3.0103).epsilon(1e-5));
  CHECK(m.largest == 2.0);
  CHECK(m.zeroed == Approx(1.0 / 3));
}

TEST_CASE("measure_error: refuses shapes that disagree and empty matrices", "[analysis]") {
  const std::vector<float> values(6);
  CHECK_THROWS_AS(qp::measure_error({values.data(), 2, 3}, {values.data(), 3, 2}), qp::shape_error);
  CHECK_THROWS_AS(qp::measure_error({values.data(), 0, 3}, {values.data(), 0, 3}), qp::shape_error);
}

TEST_CASE("as_matrix: xtensor containers pass the border without a copy", "[analysis][border]") {
  xt::xtensor<float, 2> rows = xt::ones<float>({3, 5});
  const auto view = qp::as_matrix(rows);
  CHECK(view.data() == rows.data());
  CHECK((view.rows() == 3 && view.cols() == 5 && view.row_stride() == 5));

  // xtensor gives an axis of length one the stride 0.
  xt::xtensor<float, 2> one_row = xt::ones<float>({1, 5});
  CHECK(qp::as_matrix(one_row).row_stride() == 5);

  xt::xtensor<float, 2, xt::layout_type::column_major> columns = xt::ones<float>({3, 5});
  CHECK_THROWS_AS(qp::as_matrix(columns), qp::shape_error);

  xt::xtensor<float, 1> vector = xt::ones<float>({5});
  CHECK_THROWS_AS(qp::as_matrix(vector), qp::shape_error);
}
