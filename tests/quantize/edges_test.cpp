// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "policy_lists.hpp"
#include "qompose/quantize/dequantize.hpp"
#include "qompose/quantize/quantize.hpp"
#include "support/catch.hpp"
#include "support/contains.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"

#if defined(_OPENMP)
#include "qompose/core/openmp.hpp"
#endif

namespace qp = qompose;
using qompose_tests::contains;
using qompose_tests::matrix;
using qompose_tests::random_matrix;
using qompose_tests::same;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

using uint4_zero =
    qp::quant<qp::uint4, qp::per_group<32>, qp::scale<qp::fp16>, qp::zero<qp::uint4>>;

}  // namespace

TEST_CASE("quantize: a group of zeros has scale 1 and codes of zero", "[quantize][edges]") {
  matrix x(2, 70, 0.0f);
  for (std::size_t c = 32; c < 64; ++c) x(1, c) = 7.0f;
  const auto q = qp::quantize<qp::w4_g32>(x.view());
  CHECK(q.scale(0, 0) == 1.0f);
  CHECK(q.scale(1, 69) == 1.0f);
  CHECK(q.code(0, 5) == 0);
  CHECK(q.code(1, 33) == 7);
  CHECK(q.value(1, 31) == 0.0f);

  const auto with_zero = qp::quantize<uint4_zero>(x.view());
  CHECK(with_zero.scale(0, 0) == 1.0f);
  CHECK(with_zero.code(0, 0) == 0);
  CHECK(with_zero.value(0, 0) == 0.0f);
}

TEST_CASE("quantize: a group of zeros among quantized scales has scale 0 and disturbs no other",
          "[quantize][edges]") {
  using spec =
      qp::quant<qp::int4, qp::per_group<32>, qp::scale<qp::quant<qp::uint8, qp::per_channel>>>;
  matrix x(1, 64, 0.0f);
  for (std::size_t c = 32; c < 64; ++c) x(0, c) = 0.001f * 7.0f;
  const auto q = qp::quantize<spec>(x.view());
  CHECK(q.scale(0, 0) == 0.0f);
  CHECK(q.scale_code(0, 1) == 255);
  CHECK(q.code(0, 0) == 0);
  CHECK(q.code(0, 40) == 7);
}

TEST_CASE("quantize: a constant group with a minimum is the minimum", "[quantize][edges]") {
  for (const float value : {3.0f, -2.5f, 0.0f}) {
    const matrix x(2, 40, value);
    const auto q = qp::quantize<qp::w4_minimum_g32>(x.view());
    CHECK(q.scale(0, 0) == 1.0f);
    CHECK(q.code(1, 39) == 0);
    CHECK(q.value(1, 39) == value);
    // A zero point keeps 0 in the range, so a constant is the end of it.
    CHECK(qp::quantize<uint4_zero>(x.view()).value(0, 0) == Approx(value).epsilon(1e-3));
  }
}

TEST_CASE("quantize: a scale that its own format rounds to zero stands for zeros",
          "[quantize][edges]") {
  const matrix x(1, 3, {1e-9f, -1e-9f, 0.0f});
  const auto q = qp::quantize<qp::w4_g32>(x.view());
  CHECK(q.scale(0, 0) == 0.0f);
  CHECK(q.value(0, 0) == 0.0f);
  CHECK(q.code(0, 1) == 0);
}

TEMPLATE_LIST_TEST_CASE("quantize: NaN and infinity are an error that names the first position",
                        "[quantize][edges]", qompose_tests::tensor_specs) {
  matrix x = random_matrix(3, 37, 1);
  x(1, 20) = NAN;
  x(2, 0) = infinity;
  CHECK_THROWS_AS(qp::quantize<TestType>(x.view()), qp::value_error);
  CHECK_THROWS_WITH(qp::quantize<TestType>(x.view()), contains("element (1, 20) is NaN"));
  x(0, 36) = -infinity;
  CHECK_THROWS_WITH(qp::quantize<TestType>(x.view()), contains("element (0, 36) is infinite"));
}

TEMPLATE_LIST_TEST_CASE("quantize: a matrix without rows or columns is no special case",
                        "[quantize][edges]", qompose_tests::tensor_specs) {
  float nothing = 0.0f;
  for (const auto& [rows, cols] : {std::pair<std::size_t, std::size_t>{0, 5}, {5, 0}, {0, 0}}) {
    const auto q = qp::quantize<TestType>(qp::matrix_view<const float>(&nothing, rows, cols));
    CHECK(q.rows() == rows);
    CHECK(q.cols() == cols);
    CHECK_NOTHROW(qp::dequantize(q, qp::matrix_view<float>(&nothing, rows, cols)));
  }
  CHECK(nothing == 0.0f);
}

TEMPLATE_LIST_TEST_CASE("quantize: rows may lie apart, unaligned", "[quantize][edges]",
                        qompose_tests::tensor_specs) {
  const matrix x = random_matrix(4, 33, 2);
  std::vector<float> apart(1 + 4 * 41, NAN);
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t c = 0; c < 33; ++c) apart[1 + r * 41 + c] = x(r, c);
  }
  const qp::matrix_view<float> view(apart.data() + 1, 4, 33, 41);
  const auto q = qp::quantize<TestType>(qp::matrix_view<const float>(view));
  CHECK(same(q, qp::quantize<TestType>(x.view())));
  qp::dequantize(q, view);
  CHECK(apart[1 + 33] != apart[1 + 33]);  // what lies between the rows is untouched
  CHECK(view(3, 32) == q.value(3, 32));
}

TEST_CASE("dequantize: refuses another shape and writes nothing", "[quantize][edges]") {
  const auto q = qp::quantize<qp::w4_g32>(random_matrix(2, 40, 3).view());
  matrix out(2, 41, 5.0f);
  CHECK_THROWS_AS(qp::dequantize(q, out.view()), qp::shape_error);
  CHECK_THROWS_WITH(qp::dequantize(q, out.view()), contains("shape [2, 41], expected [2, 40]"));
  CHECK(out.values() == std::vector<float>(82, 5.0f));
}

TEMPLATE_LIST_TEST_CASE("quantize: storage is what the bits say, rows rounded up to bytes",
                        "[quantize][edges]", qompose_tests::tensor_specs) {
  // Rows of 96 codes of any width are whole bytes; so are their scales, up to a byte a part.
  const auto q = qp::quantize<TestType>(random_matrix(4, 96, 4).view());
  const std::size_t bits = qp::total_bits<TestType>(4, 96);
  CHECK(8 * q.storage_bytes() >= bits);
  CHECK(8 * q.storage_bytes() <= bits + 8 * 4 * 3);
}

#if defined(_OPENMP)
TEMPLATE_LIST_TEST_CASE("quantize: the result does not depend on the threads", "[quantize][edges]",
                        qompose_tests::tensor_specs) {
  const matrix x = random_matrix(37, 45, 6);
  const auto one = qp::quantize<TestType>(x.view());
  for (const int threads : {2, 3}) {
    CHECK(same(one, qp::quantize<TestType>(x.view(), qp::default_rule{}, qp::openmp{threads})));
    matrix a(37, 45);
    matrix b(37, 45);
    qp::dequantize(one, a.view());
    qp::dequantize(one, b.view(), qp::openmp{threads});
    CHECK(a.values() == b.values());
  }
}
#endif

TEST_CASE("quantize: a scale that its format cannot hold is an error that names the group",
          "[quantize][edges]") {
  std::vector<float> values(64, 1.0f);
  values[40] = 1e9f;
  CHECK_THROWS_AS(qompose::quantize<qompose::w4_g32>({values.data(), 1, 64}), qompose::value_error);
  CHECK_THROWS_WITH(qompose::quantize<qompose::w4_g32>({values.data(), 1, 64}),
                    qompose_tests::contains("row 0, group 1"));
}

namespace {

template <class Spec>
bool same_bytes(const qp::quantized_matrix<Spec>& a, const qp::quantized_matrix<Spec>& b) {
  using parts = qp::detail::spec_parts<Spec>;
  const std::uint8_t* first = a.codes().data();
  bool equal = std::equal(first, first + a.codes().storage_bytes(), b.codes().data());
  if constexpr (parts::has_scale) equal = equal && same_bytes(a.scales(), b.scales());
  if constexpr (parts::has_zero) equal = equal && same_bytes(a.zeros(), b.zeros());
  return equal;
}

/// Leaves freed memory full of one byte, for the next allocations to find.
void dirty_memory(int byte) {
  std::vector<std::vector<std::uint8_t>> blocks;
  for (std::size_t size = 64; size < 8000; size += 61) {
    blocks.emplace_back(size, static_cast<std::uint8_t>(byte));
  }
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("quantize: no bit depends on what memory held before", "[quantize][edges]",
                        qompose_tests::tensor_specs) {
  const matrix x = random_matrix(3, 37, 8);
  dirty_memory(0xff);
  const auto a = qp::quantize<TestType>(x.view());
  dirty_memory(0x00);
  CHECK(same_bytes(a, qp::quantize<TestType>(x.view())));
}
