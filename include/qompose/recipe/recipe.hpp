// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A recipe: the six slots of a compressed linear layer, given in any order.

#include <cstddef>
#include <type_traits>

#include "qompose/formats/binary.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/ternary.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/low_rank/no_low_rank.hpp"
#include "qompose/outliers/no_outliers.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/sparsity/dense.hpp"
#include "qompose/transforms/no_transform.hpp"
#include "qompose/transforms/transform.hpp"

namespace qompose {

/// Activations are quantized while running, each call finding its own scales.
struct dynamic {};

/// Activations are quantized by scales that were found beforehand, on inputs of the same kind, and
/// are stored with the layer; what lies past their range saturates.
struct calibrated {};

namespace detail {

struct weight_slot {};
struct activation_slot {};
struct transform_slot {};
struct sparsity_slot {};
struct low_rank_slot {};
struct outliers_slot {};

template <class Spec, class Wrong>
inline constexpr bool has_granularity = false;
template <quant_spec Spec, class Wrong>
inline constexpr bool has_granularity<Spec, Wrong> =
    std::is_same_v<typename Spec::granularity_type, Wrong>;

/// Specs whose scales can be found from the largest magnitude of each column and kept as floats.
template <class Spec>
inline constexpr bool can_be_calibrated = false;
template <quant_spec Spec>
inline constexpr bool can_be_calibrated<Spec> = [] {
  using element = typename Spec::element;
  constexpr std::size_t many = std::size_t{1} << 30;
  constexpr std::size_t tokens = Spec::granularity_type::group_rows(many);
  return number_format<typename Spec::scale_type::format> && !learned_format<element> &&
         !std::is_same_v<element, binary> && !std::is_same_v<element, ternary> &&
         (tokens == 1 || tokens == many);
}();

template <class Spec>
inline constexpr bool has_unsigned_codes = false;
template <quant_spec Spec>
inline constexpr bool has_unsigned_codes<Spec> = is_unsigned_format<typename Spec::element>;

}  // namespace detail

/// How the weights W [out_features, in_features] are stored.
template <class Spec>
struct weight {
  static_assert(tensor_spec<Spec>,
                "qompose: weight: the argument is neither a number format nor a quant<...>; write "
                "weight<quant<int4, per_group<32>>> or weight<bf16>");
  static_assert(!detail::has_granularity<Spec, per_token>,
                "qompose: weight: per_token is for activations; use per_channel for one scale per "
                "row of W");
  using slot = detail::weight_slot;
  using policy = Spec;
};

/// How the activations X [n_tokens, in_features] are quantized before the dot products.
///
/// @tparam Spec  a format, or `quant<...>`
/// @tparam When  `dynamic`: each call finds its scales; `calibrated`: they are stored, one in all
///               (`per_tensor`) or one for N columns (`per_group<N>`), see `activation_statistics`
template <class Spec, class When = dynamic>
struct activation {
  static_assert(tensor_spec<Spec>,
                "qompose: activation: the argument is neither a number format nor a quant<...>; "
                "write activation<quant<int8, per_token>> or activation<fp32>");
  static_assert(!detail::has_granularity<Spec, per_channel>,
                "qompose: activation: per_channel is for weights; use per_token for one scale per "
                "row of X");
  static_assert(std::is_same_v<When, dynamic> || std::is_same_v<When, calibrated>,
                "qompose: activation: the second argument is not a known time; leave it out for "
                "dynamic scales, or write calibrated for stored ones");
  static_assert(!std::is_same_v<When, calibrated> || !detail::has_granularity<Spec, per_token>,
                "qompose: activation: a stored scale cannot belong to one token; write per_tensor "
                "for one stored scale, or leave calibrated out");
  static_assert(!std::is_same_v<When, calibrated> || !detail::has_unsigned_codes<Spec>,
                "qompose: activation: stored scales have no zero point beside them; write signed "
                "codes such as quant<int8, per_tensor>, or use integer_linear");
  static_assert(!std::is_same_v<When, calibrated> || detail::has_unsigned_codes<Spec> ||
                    detail::can_be_calibrated<Spec>,
                "qompose: activation: calibrated is for numbers with scales that stand alone, one "
                "in all or one for N columns; write quant<int8, per_tensor> or "
                "quant<int8, per_group<N>>, or leave calibrated out");
  using slot = detail::activation_slot;
  using policy = Spec;
  using when = When;
};

/// A map of the rows of X that is undone in W, such as `block_hadamard<64>`.
template <class Policy>
struct transform {
  static_assert(transform_policy<Policy>,
                "qompose: transform: the argument is not a transform; write no_transform or "
                "block_hadamard<64>");
  using slot = detail::transform_slot;
  using policy = Policy;
};

/// Which weights are left out.
template <class Policy>
struct sparsity {
  using slot = detail::sparsity_slot;
  using policy = Policy;
};

/// A low-rank part beside or instead of the weights.
template <class Policy>
struct low_rank {
  using slot = detail::low_rank_slot;
  using policy = Policy;
};

/// Which weights are kept in a wider format.
template <class Policy>
struct outliers {
  using slot = detail::outliers_slot;
  using policy = Policy;
};

/// A type that fills a slot of a recipe.
template <class T>
concept recipe_part = requires {
  typename T::slot;
  typename T::policy;
};

namespace detail {

struct recipe_base {};

template <class Slot, class Default, class... Parts>
struct find_part {
  using type = Default;
};
template <class Slot, class Default, class First, class... Rest>
struct find_part<Slot, Default, First, Rest...>
    : std::conditional_t<std::is_same_v<Slot, typename First::slot>, std::type_identity<First>,
                         find_part<Slot, Default, Rest...>> {};

template <class Slot, class... Parts>
inline constexpr int count_part = (0 + ... + int{std::is_same_v<Slot, typename Parts::slot>});

}  // namespace detail

/// A recipe: what a compressed linear layer stores and how it runs. Parts in any order, each slot
/// at most once, every slot with a neutral default that costs nothing.
///
/// @tparam Parts  `weight<>`, `activation<>`, `transform<>`, `sparsity<>`, `low_rank<>`,
///                `outliers<>`
template <class... Parts>
struct recipe : detail::recipe_base {
  static_assert((recipe_part<Parts> && ...),
                "qompose: recipe: an argument fills no slot; wrap it in weight<>, activation<>, "
                "transform<>, sparsity<>, low_rank<> or outliers<>");
  static_assert(((detail::count_part<typename Parts::slot, Parts...> == 1) && ...),
                "qompose: recipe: a slot is given twice; name each slot once");

  using weight_spec = typename detail::find_part<detail::weight_slot, qompose::weight<fp32>,
                                                 Parts...>::type::policy;
  using activation_spec =
      typename detail::find_part<detail::activation_slot, qompose::activation<fp32>,
                                 Parts...>::type::policy;
  using activation_when =
      typename detail::find_part<detail::activation_slot, qompose::activation<fp32>,
                                 Parts...>::type::when;
  using transform_type =
      typename detail::find_part<detail::transform_slot, qompose::transform<no_transform>,
                                 Parts...>::type::policy;
  using sparsity_type = typename detail::find_part<detail::sparsity_slot, qompose::sparsity<dense>,
                                                   Parts...>::type::policy;
  using low_rank_type =
      typename detail::find_part<detail::low_rank_slot, qompose::low_rank<no_low_rank>,
                                 Parts...>::type::policy;
  using outliers_type =
      typename detail::find_part<detail::outliers_slot, qompose::outliers<no_outliers>,
                                 Parts...>::type::policy;

  static_assert(std::is_same_v<sparsity_type, dense>,
                "qompose: recipe: the sparsity slot takes dense only; leave it out");
  static_assert(std::is_same_v<low_rank_type, no_low_rank>,
                "qompose: recipe: the low_rank slot takes no_low_rank only; leave it out");
  static_assert(std::is_same_v<outliers_type, no_outliers>,
                "qompose: recipe: the outliers slot takes no_outliers only; leave it out");
};

/// A `recipe<...>`.
template <class T>
concept recipe_type = std::is_base_of_v<detail::recipe_base, T>;

/// Whether layers of a recipe store the scales of their activations.
template <recipe_type Recipe>
inline constexpr bool is_calibrated = std::is_same_v<typename Recipe::activation_when, calibrated>;

namespace detail {

template <class T>
struct as_recipe {
  static_assert(recipe_type<T> || tensor_spec<T>,
                "qompose: linear: the argument is neither a recipe nor a tensor spec; write "
                "linear<recipe<weight<...>>> or linear<quant<...>>");
  using type = recipe<weight<T>>;
};
template <recipe_type T>
struct as_recipe<T> {
  using type = T;
};

}  // namespace detail

/// `T` where it is a recipe, `recipe<weight<T>>` where it is a tensor spec.
template <class T>
using as_recipe = typename detail::as_recipe<T>::type;

}  // namespace qompose
