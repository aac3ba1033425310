// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Scales in two levels whose inner product stays an 8-bit integer.

#include <type_traits>

#include "qompose/formats/int_n.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/recipe/quant.hpp"

namespace qompose {

/// A scale format: an integer a group times a float a row, such that (code - zero_point) * integer
/// fits `Image`. A layer of such weights therefore runs as one of `Image` with a scale a row.
///
/// It is stored as `quant<uint8, per_channel>` is; what sets it apart is how it is fitted, see
/// quantize/progressive.hpp, and the promise, which is checked where weights are packed or loaded.
///
/// @tparam Image  the integer format that the weights run as
/// @par Source
/// Lin et al., "QServe", MLSys 2025, arXiv:2405.04532, section 4.1.
template <class Image = int8>
struct progressive : quant<uint8, per_channel> {
  static_assert(std::is_same_v<Image, int8>,
                "qompose: progressive: the image is not int8; write progressive<int8>");
  using image = Image;
};

/// True for `progressive<...>`.
template <class Format>
inline constexpr bool is_progressive = requires { typename Format::image; };

}  // namespace qompose
