// SPDX-License-Identifier: Apache-2.0

#include "qompose/core/matrix_view.hpp"

#include <array>
#include <cstddef>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/contains.hpp"

namespace qp = qompose;
using qompose_tests::contains;

namespace {

/// As xtensor's containers: shape and strides in elements.
struct container {
  std::vector<float> elements;
  std::vector<std::size_t> sizes;
  std::vector<std::ptrdiff_t> steps;

  float* data() { return elements.data(); }
  const float* data() const { return elements.data(); }
  const std::vector<std::size_t>& shape() const { return sizes; }
  const std::vector<std::ptrdiff_t>& strides() const { return steps; }
};

/// The same with other types for shape and strides.
struct fixed_container {
  std::array<int, 6> elements{1, 2, 3, 4, 5, 6};
  std::array<int, 2> sizes{2, 3};
  std::array<long, 2> steps{3, 1};

  const int* data() const { return elements.data(); }
  const std::array<int, 2>& shape() const { return sizes; }
  const std::array<long, 2>& strides() const { return steps; }
};

}  // namespace

TEST_CASE("matrix_view: reads and writes through its row stride", "[core][matrix_view]") {
  std::vector<float> elements(12, 0.0f);
  const qp::matrix_view<float> m(elements.data(), 3, 2, 4);
  for (std::size_t r = 0; r < 3; ++r) {
    for (std::size_t c = 0; c < 2; ++c) m(r, c) = static_cast<float>(10 * r + c);
  }
  CHECK(elements == std::vector<float>{0, 1, 0, 0, 10, 11, 0, 0, 20, 21, 0, 0});
  CHECK(m.row(2)[1] == 21.0f);
  CHECK(m.rows(1, 2).rows() == 2);
  CHECK(m.rows(1, 2)(1, 0) == 20.0f);
  CHECK(m.rows(1, 2).row_stride() == 4);
}

TEST_CASE("matrix_view: a view of mutable elements becomes one of constants, never the other way",
          "[core][matrix_view]") {
  float element = 3.0f;
  const qp::matrix_view<const float> m = qp::matrix_view<float>(&element, 1, 1);
  CHECK(m(0, 0) == 3.0f);
  CHECK_FALSE(std::is_convertible_v<qp::matrix_view<const float>, qp::matrix_view<float>>);
  CHECK(std::is_trivially_copyable_v<qp::matrix_view<float>>);
  CHECK(qp::matrix_view<float>().rows() == 0);
}

TEST_CASE("as_matrix: views a container with shape and strides without a copy",
          "[core][matrix_view]") {
  container e{{1, 2, 3, 4, 5, 6, 7, 8}, {2, 3}, {4, 1}};
  const auto m = qp::as_matrix(e);
  CHECK(std::is_same_v<decltype(m), const qp::matrix_view<float>>);
  CHECK(m.data() == e.data());
  CHECK(m.row_stride() == 4);
  CHECK(m(1, 2) == 7.0f);

  const container& constant = e;
  CHECK(std::is_same_v<decltype(qp::as_matrix(constant)), qp::matrix_view<const float>>);

  const fixed_container other;
  CHECK(qp::as_matrix(other)(1, 0) == 4);
}

TEST_CASE("as_matrix: the stride of an axis of length one does not matter", "[core][matrix_view]") {
  container one_row{{1, 2, 3}, {1, 3}, {0, 1}};
  CHECK(qp::as_matrix(one_row).row_stride() == 3);
  container one_column{{1, 2, 3}, {3, 1}, {1, 0}};
  CHECK(qp::as_matrix(one_column)(2, 0) == 3.0f);
  container one_element{{5}, {1, 1}, {0, 0}};
  CHECK(qp::as_matrix(one_element)(0, 0) == 5.0f);
  container nothing{{}, {0, 0}, {0, 0}};
  CHECK(qp::as_matrix(nothing).rows() == 0);
}

TEST_CASE("as_matrix: refuses column-major containers, other dimensions and overlapping rows",
          "[core][matrix_view]") {
  container column_major{{1, 2, 3, 4}, {2, 2}, {1, 2}};
  CHECK_THROWS_AS(qp::as_matrix(column_major), qp::shape_error);
  CHECK_THROWS_WITH(qp::as_matrix(column_major), contains("2 apart, expected 1"));
  container vector{{1, 2}, {2}, {1}};
  CHECK_THROWS_WITH(qp::as_matrix(vector), contains("1 dimensions, expected 2"));
  container cube{{1, 2}, {1, 1, 2}, {2, 2, 1}};
  CHECK_THROWS_WITH(qp::as_matrix(cube), contains("3 dimensions, expected 2"));
  container broadcast{{1, 2, 3}, {4, 3}, {0, 1}};
  CHECK_THROWS_WITH(qp::as_matrix(broadcast), contains("rows are 0 apart, expected at least 3"));
  container reversed{{1, 2, 3, 4}, {2, 2}, {-2, 1}};
  CHECK_THROWS_WITH(qp::as_matrix(reversed), contains("rows are -2 apart"));
}
