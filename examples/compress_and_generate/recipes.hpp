// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The recipes that the program knows: everything there is to tune is in this file.
///
/// Each recipe needs a file of its own that instantiates it (`recipe_<name>.cpp`), so that the
/// build can run in parallel.

#include <string_view>

#include "qompose/decoder/model_recipe.hpp"
#include "qompose/recipe/bits.hpp"
#include "qompose/recipe/presets.hpp"
#include "qompose/rules/absmax.hpp"
#include "qompose/rules/mse_search.hpp"

namespace demo {

namespace qp = qompose;

/// Fits the scales of 4-bit groups; finer grids gain next to nothing, and the last bit of squared
/// error makes perplexity worse again.
inline constexpr qp::mse_search four_bit_rule{.grid = 8, .lowest_ratio = 0.7f, .turns = 0};

/// The uncompressed model; its weights are taken as they are.
struct f32 : qp::model_recipe {
  static constexpr std::string_view name = "f32";
  static constexpr std::string_view summary = "float weights and activations, the baseline";
  static constexpr auto rule = qp::absmax{};
};

/// Float activations; half the bytes.
struct bf16 : qp::uniform_model<qp::w16a32> {
  static constexpr std::string_view name = "bf16";
  static constexpr std::string_view summary = "bfloat16 weights, float activations";
  static constexpr auto rule = qp::absmax{};
};

/// int8 weights, float activations.
struct w8a32 : qp::uniform_model<qp::w8a32> {
  static constexpr std::string_view name = "w8a32";
  static constexpr std::string_view summary = "int8 per row, float activations";
  static constexpr auto rule = qp::absmax{};
};

/// Integer products at 8 bits. The rotation is for the activations, whose largest channels would
/// otherwise take most of the int8 range.
struct w8a8 : qp::uniform_model<qp::w8a8_hadamard, qp::w8a8> {
  static constexpr std::string_view name = "w8a8";
  static constexpr std::string_view summary =
      "int8 per row, int8 per token, rotated; head not rotated";
  static constexpr auto rule = qp::absmax{};
};

/// int4 weights, float activations. Rows are rotated in blocks of 64, which spreads outliers before
/// they are rounded. The head of 4-bit recipes has 8 bits: it is the embedding too, and nothing
/// comes after it that could make up for its errors.
struct w4a32_g32
    : qp::uniform_model<qp::recipe<qp::weight<qp::w4_g32>, qp::transform<qp::block_hadamard<64>>>,
                        qp::w8a32> {
  static constexpr std::string_view name = "w4a32_g32";
  static constexpr std::string_view summary =
      "int4 in groups of 32, float activations, rotated; head int8";
  static constexpr auto rule = four_bit_rule;
};

/// Integer products at 4 bits.
struct w4a8_g32 : qp::uniform_model<qp::w4a8_g32_hadamard, qp::w8a8> {
  static constexpr std::string_view name = "w4a8_g32";
  static constexpr std::string_view summary =
      "int4 in groups of 32, int8 per token, rotated; head int8";
  static constexpr auto rule = four_bit_rule;
};

/// Fewer scales.
struct w4a8_g128
    : qp::uniform_model<qp::recipe<qp::weight<qp::w4_g128>, qp::activation<qp::a8_token>,
                                   qp::transform<qp::block_hadamard<64>>>,
                        qp::w8a8> {
  static constexpr std::string_view name = "w4a8_g128";
  static constexpr std::string_view summary =
      "int4 in groups of 128, int8 per token, rotated; head int8";
  static constexpr auto rule = four_bit_rule;
};

/// What the rotation is worth.
struct w4a8_g32_plain : qp::uniform_model<qp::w4a8_g32, qp::w8a8> {
  static constexpr std::string_view name = "w4a8_g32_plain";
  static constexpr std::string_view summary = "w4a8_g32 without the rotation; head int8";
  static constexpr auto rule = four_bit_rule;
};

/// A minimum for each group besides its scale.
struct w4a8_minimum_g32 : qp::uniform_model<qp::w4a8_minimum_g32, qp::w8a8> {
  static constexpr std::string_view name = "w4a8_minimum_g32";
  static constexpr std::string_view summary =
      "uint4 with minima in groups of 32, int8 per token; head int8";
  static constexpr auto rule = four_bit_rule;
};

/// Types, in the order of `--list`.
template <class... Recipes>
struct recipe_list {};

using all_recipes = recipe_list<f32, bf16, w8a32, w8a8, w4a32_g32, w4a8_g32, w4a8_g128,
                                w4a8_g32_plain, w4a8_minimum_g32>;

/// What runs when nothing is asked for.
inline constexpr std::string_view default_recipes = "f32,w8a8,w4a8_g128,w4a8_g32";

/// Calls `visit.operator()<Recipe>()` for every recipe of the list.
template <class Visitor, class... Recipes>
void for_each_recipe(recipe_list<Recipes...>, const Visitor& visit) {
  (visit.template operator()<Recipes>(), ...);
}

/// Calls `visit.operator()<Recipe>()` for the one that is called `name`; false if none is.
template <class Visitor>
bool visit_recipe(std::string_view name, const Visitor& visit) {
  bool found = false;
  for_each_recipe(all_recipes{}, [&]<class Recipe>() {
    if (Recipe::name != name) return;
    found = true;
    visit.template operator()<Recipe>();
  });
  return found;
}

/// Bits per weight of a large matrix, scales included.
template <class Recipe>
constexpr double matrix_bits() {
  return qp::bits_per_element<typename qp::as_recipe<Recipe>::weight_spec>(4096, 4096);
}

}  // namespace demo
