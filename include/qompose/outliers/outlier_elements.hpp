// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A few elements of each vector kept apart.

#include <cstddef>
#include <string_view>

#include "qompose/core/fixed_text.hpp"

namespace qompose {

/// The N elements of each vector of a cache that lie farthest from its median do not take part in
/// finding its scale, and what their codes lack is kept as fp16: dense and sparse parts together
/// are exact to a half. A vector is a token of a head, or, for scales per channel, a channel of a
/// block.
///
/// @tparam N  1 .. 32; one of 128 is the 1 % of the source
/// @par Cost  4 bytes and a multiply-add for each query row and element
/// @par Source
/// Hooper et al., "KVQuant", NeurIPS 2024, arXiv:2401.18079, section 3.4, where as many lie past
/// thresholds that are found beforehand.
template <std::size_t N>
struct outlier_elements {
  static_assert(N >= 1 && N <= 32,
                "qompose: outlier_elements: the number of elements is not in 1..32; write "
                "outlier_elements<1>");
  struct data {};

 private:
  static constexpr detail::fixed_text name_ = detail::fixed_text() + "outlier_elements<" + N + ">";

 public:
  static constexpr std::string_view name = name_.view();
  static constexpr std::size_t elements = N;
};

}  // namespace qompose
