// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief How a tensor is stored: element format, granularity, scale, zero point.

#include <concepts>
#include <type_traits>

#include "qompose/formats/bf16.hpp"
#include "qompose/formats/codebook.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/number_format.hpp"
#include "qompose/granularity/granularity.hpp"

namespace qompose {

namespace detail {
struct quant_base {};
struct scale_base {};
struct zero_base {};
}  // namespace detail

/// A `quant<...>`.
template <class T>
concept quant_spec = std::is_base_of_v<detail::quant_base, T>;

/// What says how a tensor is stored: a `quant<...>`, or a bare format for "as is".
template <class T>
concept tensor_spec = number_format<T> || quant_spec<T>;

/// The scale slot: scales are numbers of `Format`, a float format, `e8m0` or another `quant<...>`.
template <class Format>
struct scale : detail::scale_base {
  static_assert(tensor_spec<Format>,
                "qompose: scale: the argument is neither a number format nor a quant<...>; write "
                "scale<fp16>, or scale<quant<uint8, per_channel>> for scales that are quantized");
  static_assert(
      !integer_format<Format> || is_unsigned_format<Format>,
      "qompose: scale: a bare signed integer holds no fraction and wastes its sign; write "
      "scale<fp16>, or scale<quant<uint8, per_channel>> for integer scales of a scale");
  using format = Format;
};

/// The scale slot of codes that stand for values of their own, such as `codebook<16>`.
struct no_scale : detail::scale_base {
  using format = void;
};

/// The zero slot's default: code 0 stands for the value 0.
struct no_zero : detail::zero_base {
  using format = void;
};

/// Zero points: value = scale * (code - zero_point), the zero points stored as `Format`.
template <class Format>
struct zero : detail::zero_base {
  static_assert(tensor_spec<Format>,
                "qompose: zero: the argument is neither a number format nor a quant<...>; write "
                "zero<uint4>");
  using format = Format;
};

/// Minima: value = scale * code + minimum, the minima stored as `Format`.
template <class Format>
struct minimum : detail::zero_base {
  static_assert(tensor_spec<Format>,
                "qompose: minimum: the argument is neither a number format nor a quant<...>; write "
                "minimum<fp16>");
  using format = Format;
};

/// @cond
template <class Z>
inline constexpr bool is_zero_point = false;
template <class Format>
inline constexpr bool is_zero_point<zero<Format>> = true;
template <class Z>
inline constexpr bool is_minimum = false;
template <class Format>
inline constexpr bool is_minimum<minimum<Format>> = true;
/// @endcond

namespace detail {
/// Scales of which a product with the codes has to fit an integer format, see progressive.hpp.
template <class Scale>
inline constexpr bool has_image = requires { typename Scale::format::image; };
template <class Element>
inline constexpr int bits_of = 0;
template <element_format Element>
inline constexpr int bits_of<Element> = Element::bits;
}  // namespace detail

/// The scale slot where none is named: float scales, or none for a codebook of every group.
template <class Element>
using default_scale = std::conditional_t<learned_format<Element> && !is_shared_codebook<Element>,
                                         no_scale, scale<fp32>>;

/// How a tensor is stored: codes of `Element`, one scale (and zero point) for each block of the
/// granularity.
///
/// Scales are numbers too, so a scale may itself be a `quant<...>`; an inner granularity counts
/// scales along the row. The type says nothing of how a scale is found: that is a rule handed to
/// `quantize` or a solver handed to `compress`.
///
/// @tparam Element      a format, such as `int4`, `fp4_e2m1` or `codebook<16>`
/// @tparam Granularity  which elements share a scale, such as `per_group<32>`
/// @tparam Scale        `scale<Format>`; `no_scale` for a codebook of every group
/// @tparam Zero         `no_zero`, `zero<Format>` or `minimum<Format>`
template <class Element, class Granularity, class Scale = default_scale<Element>,
          class Zero = no_zero>
struct quant : detail::quant_base {
  static_assert(element_format<Element>,
                "qompose: quant: the first argument is not a number format; write a format such as "
                "int4 there");
  static_assert(!scale_only_format<Element>,
                "qompose: quant: the first argument has no zero and no sign, being a format of "
                "scales; write it as scale<e8m0>, and an element such as fp4_e2m1");
  static_assert(granularity<Granularity>,
                "qompose: quant: the second argument is not a granularity; write per_tensor, "
                "per_channel, per_token, per_group<N> or per_block<R, C> there");
  static_assert(std::is_base_of_v<detail::scale_base, Scale>,
                "qompose: quant: the third argument is not a scale; write scale<fp16> for a bare "
                "fp16");
  static_assert(std::is_base_of_v<detail::zero_base, Zero>,
                "qompose: quant: the fourth argument is not a zero point; write no_zero, "
                "zero<uint4> or minimum<fp16>");
  static_assert(
      std::same_as<Scale, default_scale<Element>> || !std::same_as<Scale, no_scale>,
      "qompose: quant: codes of this format need a scale; write scale<fp32>, or leave the "
      "slot out");
  static_assert(!std::same_as<default_scale<Element>, no_scale> || std::same_as<Scale, no_scale>,
                "qompose: quant: a codebook of every group takes no scale; leave it out, or write "
                "codebook<16, fp16, codebook_scope::tensor> for one codebook and many scales");
  static_assert(std::same_as<Zero, no_zero> || is_unsigned_format<Element>,
                "qompose: quant: a zero point or minimum needs unsigned codes; use uint4 instead "
                "of int4, or drop the zero slot");
  static_assert(!detail::has_image<Scale> ||
                    (is_zero_point<Zero> && integer_format<Element> &&
                     detail::bits_of<Element> == 4 && Granularity::group_rows(2) == 1),
                "qompose: quant: progressive scales are for 4-bit unsigned codes with zero points, "
                "in groups of one row; write quant<uint4, per_group<128>, "
                "scale<progressive<int8>>, zero<uint4>>");
  using element = Element;
  using granularity_type = Granularity;
  using scale_type = Scale;
  using zero_type = Zero;
};

namespace detail {

/// Floats of 16 and 32 bits, which need no scale of their own.
template <class Format>
inline constexpr bool is_plain_float =
    std::is_same_v<Format, fp32> || std::is_same_v<Format, fp16> || std::is_base_of_v<bf16, Format>;

/// The parts of any tensor_spec; a bare format is its own element and has nothing else.
template <tensor_spec Spec>
struct spec_parts {
  using element = Spec;
  using scale_format = void;
  using zero_type = no_zero;
  static constexpr bool has_scale = false;
  static constexpr bool has_zero = false;
  static constexpr bool has_codebook = false;
};

template <quant_spec Spec>
struct spec_parts<Spec> {
  using element = typename Spec::element;
  using scale_format = typename Spec::scale_type::format;
  using zero_type = typename Spec::zero_type;
  static constexpr bool has_scale = !std::is_same_v<scale_format, void>;
  static constexpr bool has_zero = !std::is_same_v<zero_type, no_zero>;
  static constexpr bool has_codebook = learned_format<element>;
};

}  // namespace detail
}  // namespace qompose
