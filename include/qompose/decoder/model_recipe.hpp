// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Which recipe each matrix of a decoder uses.

#include "qompose/nn/kv_cache.hpp"
#include "qompose/recipe/recipe.hpp"

namespace qompose {

/// Base of every model recipe: nothing compressed. Derive from it and name what differs:
///
///     struct small : qp::model_recipe {
///       using ffn_out = qp::w8a8;
///     };
///
/// Each member is a recipe or a tensor spec.
struct model_recipe {
  using qkv = recipe<>;            ///< q_proj, k_proj and v_proj, one matrix
  using attention_out = recipe<>;  ///< o_proj
  using ffn_in = recipe<>;         ///< gate_proj and up_proj, one matrix
  using ffn_out = recipe<>;        ///< down_proj
  using head = recipe<>;           ///< the output head, and the embedding's storage
  using cache = kv_cache<>;        ///< keys and values
};

/// A model recipe that uses one recipe for every matrix.
template <class Recipe, class Head = Recipe>
struct uniform_model : model_recipe {
  using qkv = Recipe;
  using attention_out = Recipe;
  using ffn_in = Recipe;
  using ffn_out = Recipe;
  using head = Head;
};

}  // namespace qompose
