// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The text of a composition, as a person would write it in code.

#include <string>
#include <string_view>
#include <type_traits>

#include "qompose/core/config.hpp"
#include "qompose/recipe/progressive.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/recipe/recipe.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// The text of a tensor spec: `"quant<int4, per_group<32>, scale<fp16>>"`. Parts that have their
/// default are left out, so that equal texts mean equal types up to how codes are rounded.
template <tensor_spec Spec>
[[nodiscard]] std::string describe() {
  if constexpr (number_format<Spec>) {
    return std::string(Spec::name);
  } else if constexpr (is_progressive<Spec>) {
    return "progressive<" + std::string(Spec::image::name) + ">";
  } else {
    using element = typename Spec::element;
    using scale_type = typename Spec::scale_type;
    using zero_type = typename Spec::zero_type;
    constexpr bool has_zero = !std::is_same_v<zero_type, no_zero>;
    std::string text =
        "quant<" + std::string(element::name) + ", " + std::string(Spec::granularity_type::name);
    if constexpr (!std::is_same_v<scale_type, default_scale<element>> || has_zero) {
      text += ", scale<" + describe<typename scale_type::format>() + ">";
    }
    if constexpr (has_zero) {
      text += is_zero_point<zero_type> ? ", zero<" : ", minimum<";
      text += describe<typename zero_type::format>() + ">";
    }
    return text + ">";
  }
}

/// The text of a recipe: `"recipe<weight<bf16>, transform<block_hadamard<64>>>"`. Slots come in the
/// order of the documentation and are left out where they have their default.
template <recipe_type Recipe>
[[nodiscard]] std::string describe() {
  std::string text;
  const auto add = [&](std::string_view slot, std::string_view policy) {
    text += text.empty() ? "" : ", ";
    text += std::string(slot) + "<" + std::string(policy) + ">";
  };
  using plain = recipe<>;
  if constexpr (!std::is_same_v<typename Recipe::weight_spec, typename plain::weight_spec>) {
    add("weight", describe<typename Recipe::weight_spec>());
  }
  if constexpr (!std::is_same_v<typename Recipe::activation_spec,
                                typename plain::activation_spec>) {
    add("activation", describe<typename Recipe::activation_spec>() +
                          (is_calibrated<Recipe> ? ", calibrated" : ""));
  }
  if constexpr (!std::is_same_v<typename Recipe::transform_type, typename plain::transform_type>) {
    add("transform", Recipe::transform_type::name);
  }
  if constexpr (!std::is_same_v<typename Recipe::sparsity_type, typename plain::sparsity_type>) {
    add("sparsity", Recipe::sparsity_type::name);
  }
  if constexpr (!std::is_same_v<typename Recipe::low_rank_type, typename plain::low_rank_type>) {
    add("low_rank", Recipe::low_rank_type::name);
  }
  if constexpr (!std::is_same_v<typename Recipe::outliers_type, typename plain::outliers_type>) {
    add("outliers", Recipe::outliers_type::name);
  }
  return "recipe<" + text + ">";
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
