// SPDX-License-Identifier: Apache-2.0

#include "qompose/formats/codebook.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "formats/nearest.hpp"
#include "policy_lists.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/int_n.hpp"
#include "support/catch.hpp"

namespace qp = qompose;
using qompose_tests::coded_value;
using qompose_tests::nearest_low;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Sorted halves as k-means might leave them.
/// @param distinct  how many different ones at most
std::vector<float> entries(int count, int distinct, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> pool;
  for (int i = 0; i < distinct; ++i)
    pool.push_back(qp::fp16::decode(qp::fp16::encode(normal(random))));
  std::vector<float> sorted;
  for (int i = 0; i < count; ++i) {
    sorted.push_back(pool[static_cast<std::size_t>(i % distinct)]);
  }
  std::sort(sorted.begin(), sorted.end());
  return sorted;
}

std::vector<coded_value> coded(const std::vector<float>& values) {
  std::vector<coded_value> sorted;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sorted.push_back({static_cast<double>(values[i]), static_cast<unsigned>(i)});
  }
  return sorted;
}

/// The value found first among the nearest; from far away all distances would be rounded to one.
double nearest_value(const std::vector<coded_value>& sorted, float x) {
  const double clamped = std::clamp(static_cast<double>(x), -1e6, 1e6);
  return sorted[nearest_low(sorted, clamped)].value;
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("codebook: encode picks the nearest entry, the lower one at a tie",
                        "[formats][rounding]", qompose_tests::learned_formats) {
  for (unsigned seed = 1; seed <= 5; ++seed) {
    const std::vector<float> values = entries(TestType::entries, TestType::entries, seed);
    const std::vector<coded_value> sorted = coded(values);
    std::vector<float> points = qompose_tests::telling_points(sorted);
    for (float x = -4.0f; x <= 4.0f; x += 0x1p-7f) points.push_back(x);
    for (const float x :
         {0.0f, -0.0f, 1e-45f, -1e-45f, 1e5f, -1e5f, 3e38f, -3e38f, infinity, -infinity}) {
      points.push_back(x);
    }
    int wrong = 0;
    for (const float x : points) {
      const std::size_t code = TestType::encode(values.data(), x);
      // Normal numbers rounded to halves may coincide: equal values count as the same.
      wrong +=
          code >= values.size() || static_cast<double>(values[code]) != nearest_value(sorted, x);
    }
    CHECK(wrong == 0);
    CHECK(TestType::encode(values.data(), std::numeric_limits<float>::quiet_NaN()) == 0);
  }
}

TEST_CASE("codebook: the entries' own values give their codes, midpoints the lower",
          "[formats][rounding]") {
  const float values[5] = {-2.0f, -0.5f, 0.0f, 0.25f, 8.0f};
  using format = qp::codebook<5>;
  for (int i = 0; i < 5; ++i) CHECK(static_cast<int>(format::encode(values, values[i])) == i);
  for (int i = 0; i < 4; ++i) {
    const float middle = (values[i] + values[i + 1]) / 2;
    CHECK(static_cast<int>(format::encode(values, middle)) == i);
    CHECK(static_cast<int>(format::encode(values, std::nextafter(middle, infinity))) == i + 1);
  }
}

TEST_CASE("codebook: entries that repeat cost nothing but their places", "[formats][rounding]") {
  // A row with fewer different values than entries.
  using format = qp::codebook<16>;
  for (const int distinct : {1, 2, 7}) {
    const std::vector<float> values = entries(16, distinct, 21);
    const std::vector<coded_value> sorted = coded(values);
    for (float x = -3.0f; x <= 3.0f; x += 0x1p-6f) {
      CHECK(static_cast<double>(values[format::encode(values.data(), x)]) ==
            nearest_value(sorted, x));
    }
  }
}

TEST_CASE("codebook: names, bits and who shares the entries", "[formats]") {
  CHECK(qp::codebook<16>::name == "codebook<16, fp16>");
  CHECK(qp::codebook<256, qp::bf16>::name == "codebook<256, bf16>");
  CHECK(qp::codebook<3, qp::fp32, qp::codebook_scope::tensor>::name == "codebook<3, fp32, tensor>");
  CHECK(qp::codebook<2>::bits == 1);
  CHECK(qp::codebook<3>::bits == 2);
  CHECK(qp::codebook<4>::bits == 2);
  CHECK(qp::codebook<5>::bits == 3);
  CHECK(qp::codebook<16>::bits == 4);
  CHECK(qp::codebook<17>::bits == 5);
  CHECK(qp::codebook<256>::bits == 8);
  CHECK(std::is_same_v<qp::codebook<4, qp::bf16>::entry, qp::bf16>);
  CHECK(qp::learned_format<qp::codebook<4>>);
  CHECK(qp::element_format<qp::codebook<4>>);
  CHECK_FALSE(qp::number_format<qp::codebook<4>>);
  CHECK_FALSE(qp::is_shared_codebook<qp::codebook<4>>);
  CHECK(qp::is_shared_codebook<qp::codebook<4, qp::fp16, qp::codebook_scope::tensor>>);
  CHECK_FALSE(qp::is_shared_codebook<qp::int4>);
  CHECK(std::is_empty_v<qp::codebook<256>>);
}
