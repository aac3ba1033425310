// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Which products of weights and activations run on integers, and how their columns are
///        grouped.

#include <cstddef>

#include "qompose/formats/int_n.hpp"
#include "qompose/granularity/per_group.hpp"
#include "qompose/granularity/per_tensor.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/kernels/arguments.hpp"
#include "qompose/packing/panels.hpp"
#include "qompose/quantize/image_codes.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/recipe/recipe.hpp"

namespace qompose::detail {

/// Columns of a row without end.
inline constexpr std::size_t any_columns = std::size_t{1} << 30;

/// Activations as the integer kernels take them: signed codes of at most 8 bits with a float scale
/// for each token, or for each group of columns that lies well with the weights' groups.
template <class Spec, class When = dynamic>
struct code_activations {
  static constexpr bool exists = false;
  static constexpr std::size_t group = 0;
};
template <int Bits, code_range Range>
struct code_activations<quant<int_n<Bits, Range>, per_token>, dynamic> {
  static constexpr bool exists = true;
  static constexpr std::size_t group = 0;  ///< the whole row
  using format = int_n<Bits, Range>;
};
template <int Bits, code_range Range, std::size_t N>
struct code_activations<quant<int_n<Bits, Range>, per_group<N>>, dynamic> {
  static constexpr bool exists = true;
  static constexpr std::size_t group = N;
  using format = int_n<Bits, Range>;
};
/// Stored scales may be numbers of any format: the kernels read them as floats.
template <int Bits, code_range Range, class Scale>
struct code_activations<quant<int_n<Bits, Range>, per_tensor, Scale>, calibrated>
    : code_activations<quant<int_n<Bits, Range>, per_token>> {};
template <int Bits, code_range Range, std::size_t N, class Scale>
struct code_activations<quant<int_n<Bits, Range>, per_group<N>, Scale>, calibrated>
    : code_activations<quant<int_n<Bits, Range>, per_group<N>>> {};

/// Numbers that stand for small integers, such as those of `mxfp4`, with scales of any format: they
/// are rounded as their spec says.
template <class Spec>
  requires has_image_codes<Spec>
struct code_activations<Spec, dynamic> {
  static constexpr bool exists = true;
  static constexpr std::size_t group =
      Spec::granularity_type::group_cols(any_columns) % any_columns;
  using format = image_codes<Spec>;
};

/// Whether a product runs on integers, and how its columns are grouped.
template <class Weights, class Activations, class When = dynamic>
struct integer_product {
  using layout = panel_layout<Weights>;
  using codes = code_activations<Activations, When>;
  static constexpr std::size_t whole = any_columns;
  static constexpr std::size_t weight_group = [] {
    if constexpr (layout::is_scaled) return Weights::granularity_type::group_cols(whole);
    return whole;
  }();
  static constexpr std::size_t code_group = codes::group == 0 ? whole : codes::group;
  /// Groups that are cut finer by the other side's must be cut between units.
  static constexpr bool groups_fit =
      code_group % weight_group == 0 ||
      ((weight_group == whole || weight_group % code_group == 0) && code_group % layout::step == 0);
  static constexpr bool exists =
      codes::exists && layout::has_integers && layout::is_scaled && groups_fit;
  static constexpr std::size_t group = code_group < weight_group ? code_group : weight_group;
  static constexpr code_scales scales = codes::group == 0           ? code_scales::of_tokens
                                        : code_group < weight_group ? code_scales::of_parts
                                                                    : code_scales::of_groups;
};

}  // namespace qompose::detail
