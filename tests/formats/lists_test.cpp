// SPDX-License-Identifier: Apache-2.0

#include <cmath>
#include <random>
#include <tuple>
#include <type_traits>
#include <utility>

#include "policy_lists.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

template <class Format>
struct plain_row {
  using format = Format;
};
template <class... Format>
std::tuple<plain_row<Format>...> rows_of(std::tuple<Format...>);

/// Every format with fixed values.
using fixed_formats = decltype(std::tuple_cat(
    std::declval<qompose_tests::formats>(), std::declval<qompose_tests::unsigned_formats>(),
    rows_of(std::declval<qompose_tests::sign_formats>()),
    rows_of(std::declval<qompose_tests::scale_formats>())));

}  // namespace

TEMPLATE_LIST_TEST_CASE("formats: a policy without state whose codes fit their type", "[formats]",
                        fixed_formats) {
  using format = typename TestType::format;
  CHECK(std::is_empty_v<format>);
  CHECK_FALSE(format::name.empty());
  CHECK(format::bits >= 1);
  CHECK(format::bits <= static_cast<int>(8 * sizeof(typename format::storage_type)));
}

TEMPLATE_LIST_TEST_CASE("formats: what has been stored once is stored again without loss",
                        "[formats][rounding]", fixed_formats) {
  using format = typename TestType::format;
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0f, format::max_finite < 10 ? 1.0f : 10.0f);
  int wrong = 0;
  for (int i = 0; i < 10'000; ++i) {
    const auto code = format::encode(normal(random));
    wrong += format::encode(format::decode(code)) != code;
  }
  CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("formats: the largest number is one, and nothing smaller exceeds it",
                        "[formats][rounding]", fixed_formats) {
  using format = typename TestType::format;
  constexpr float largest = format::max_finite;
  CHECK(std::isfinite(largest));
  CHECK(format::decode(format::encode(largest)) == largest);
  int wrong = 0;
  for (float x = largest; x > largest * 0.01f; x *= 0.999f) {
    wrong += format::decode(format::encode(x)) > largest;
    wrong += !qp::is_unsigned_format<format> && format::decode(format::encode(-x)) > 0.0f;
  }
  CHECK(wrong == 0);
}

TEMPLATE_LIST_TEST_CASE("formats: zero stays zero where there is one", "[formats][rounding]",
                        fixed_formats) {
  using format = typename TestType::format;
  constexpr bool has_zero = !qp::scale_only_format<format> && !std::is_same_v<format, qp::binary>;
  CHECK((format::decode(format::encode(0.0f)) == 0.0f) == has_zero);
  CHECK((format::decode(format::encode(-0.0f)) == 0.0f) == has_zero);
}
