// SPDX-License-Identifier: Apache-2.0

#include "qompose/recipe/recipe.hpp"

#include <tuple>
#include <type_traits>

#include "policy_lists.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

namespace {

using w = qp::weight<qp::w4_g32>;
using a = qp::activation<qp::a8_token>;
using t = qp::transform<qp::block_hadamard<64>>;

template <class A, class B>
constexpr bool same_slots =
    std::is_same_v<typename A::weight_spec, typename B::weight_spec> &&
    std::is_same_v<typename A::activation_spec, typename B::activation_spec> &&
    std::is_same_v<typename A::transform_type, typename B::transform_type> &&
    std::is_same_v<typename A::sparsity_type, typename B::sparsity_type> &&
    std::is_same_v<typename A::low_rank_type, typename B::low_rank_type> &&
    std::is_same_v<typename A::outliers_type, typename B::outliers_type>;

}  // namespace

TEST_CASE("recipe: slots may be given in any order", "[recipe]") {
  CHECK(same_slots<qp::recipe<w, a, t>, qp::recipe<t, a, w>>);
  CHECK(same_slots<qp::recipe<w, a, t>, qp::recipe<a, t, w>>);
  CHECK(std::is_same_v<qp::recipe<t, a, w>::weight_spec, qp::w4_g32>);
  CHECK(std::is_same_v<qp::recipe<t, a, w>::activation_spec, qp::a8_token>);
  CHECK(std::is_same_v<qp::recipe<t, a, w>::transform_type, qp::block_hadamard<64>>);
}

TEST_CASE("recipe: a slot left out has its neutral default", "[recipe]") {
  using spelled_out = qp::recipe<qp::weight<qp::fp32>, qp::activation<qp::fp32>,
                                 qp::transform<qp::no_transform>, qp::sparsity<qp::dense>,
                                 qp::low_rank<qp::no_low_rank>, qp::outliers<qp::no_outliers>>;
  CHECK(same_slots<qp::recipe<>, spelled_out>);
  CHECK(same_slots<qp::recipe<w>, qp::recipe<qp::activation<qp::fp32>, w>>);
}

TEST_CASE("recipe: scales of activations are found by each call unless said otherwise",
          "[recipe]") {
  using stored = qp::activation<qp::quant<qp::int8, qp::per_tensor>, qp::calibrated>;
  CHECK(qp::is_calibrated<qp::recipe<w, stored>>);
  CHECK_FALSE(qp::is_calibrated<qp::recipe<w, a>>);
  CHECK_FALSE(qp::is_calibrated<qp::recipe<>>);
  CHECK(std::is_same_v<qp::recipe<w, a>, qp::recipe<w, qp::activation<qp::a8_token, qp::dynamic>>>);
  CHECK_FALSE(qp::detail::can_be_calibrated<qp::ternary_channel>);
  CHECK_FALSE(qp::detail::can_be_calibrated<qp::codebook4>);
  CHECK_FALSE(qp::detail::can_be_calibrated<qp::nvfp4>);
  CHECK_FALSE(qp::detail::can_be_calibrated<qp::quant<qp::int8, qp::per_block<4, 32>>>);
}

TEST_CASE("recipe: a tensor spec alone is a recipe for its weights", "[recipe]") {
  CHECK(std::is_same_v<qp::as_recipe<qp::w4_g32>, qp::recipe<w>>);
  CHECK(std::is_same_v<qp::as_recipe<qp::bf16>, qp::recipe<qp::weight<qp::bf16>>>);
  CHECK(std::is_same_v<qp::as_recipe<qp::w8a8>, qp::w8a8>);
}

TEMPLATE_LIST_TEST_CASE("recipe: recipes and their defaults are empty types", "[recipe]",
                        qompose_tests::recipes) {
  CHECK(std::is_empty_v<TestType>);
  CHECK(std::is_empty_v<typename TestType::transform_type>);
  CHECK(std::is_empty_v<typename TestType::transform_type::data>);
  CHECK(std::is_empty_v<typename TestType::sparsity_type::data>);
  CHECK(std::is_empty_v<typename TestType::low_rank_type::data>);
  CHECK(std::is_empty_v<typename TestType::outliers_type::data>);
}

TEST_CASE("concepts: tell formats, specs and recipes apart", "[recipe]") {
  CHECK(qp::tensor_spec<qp::int4>);
  CHECK(qp::tensor_spec<qp::w4_g32>);
  CHECK_FALSE(qp::tensor_spec<qp::per_channel>);
  CHECK_FALSE(qp::tensor_spec<int>);
  CHECK(qp::quant_spec<qp::w4_g32>);
  CHECK_FALSE(qp::quant_spec<qp::int4>);
  CHECK(qp::recipe_type<qp::w8a8>);
  CHECK_FALSE(qp::recipe_type<qp::w4_g32>);
  CHECK(qp::recipe_part<w>);
  CHECK_FALSE(qp::recipe_part<qp::int4>);
  CHECK_FALSE(qp::number_format<qp::w4_g32>);
  CHECK_FALSE(qp::integer_format<qp::bf16>);
}
