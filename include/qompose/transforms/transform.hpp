// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief What a transform must offer.

#include <concepts>
#include <cstddef>
#include <string_view>

namespace qompose {

/// A linear map T on rows, with Y = X W^T = (X T)(W T^-T)^T: applied to activations while running
/// and folded into the weights offline.
///
/// `data` holds what the transform stores (empty when nothing). `forward` maps a row of
/// activations in place, `fold` a row of weights, `unfold` undoes `fold`; `name` is how a program
/// spells the type. It must not know what happens to the row afterwards.
template <class T>
concept transform_policy = requires(const typename T::data& data, float* row, std::size_t n) {
  { T::forward(data, row, n) } noexcept;
  { T::fold(data, row, n) } noexcept;
  { T::unfold(data, row, n) } noexcept;
  { T::is_identity } -> std::convertible_to<bool>;
  { T::name } -> std::convertible_to<std::string_view>;
};

}  // namespace qompose
