// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The slots of a cache: keys, values, layout, eviction, exact_first, in any order.

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <type_traits>

#include "qompose/cache/before_rope.hpp"
#include "qompose/cache/contiguous.hpp"
#include "qompose/cache/exact_first.hpp"
#include "qompose/cache/keep_all.hpp"
#include "qompose/cache/paged.hpp"
#include "qompose/cache/residual.hpp"
#include "qompose/cache/sinks_and_window.hpp"
#include "qompose/cache/window.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/granularity/per_channel.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/outliers/outlier_elements.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/recipe/recipe.hpp"
#include "qompose/transforms/no_transform.hpp"

namespace qompose {

namespace detail {

struct keys_slot {};
struct values_slot {};
struct layout_slot {};
struct eviction_slot {};

struct rope_option {};
struct residual_option {};

/// The option that an argument of keys<> or values<> is.
template <class Option>
struct side_option {
  using kind = void;
};
template <>
struct side_option<before_rope> {
  using kind = rope_option;
};
template <std::size_t N>
struct side_option<residual<N>> {
  using kind = residual_option;
};
template <class Policy>
struct side_option<transform<Policy>> {
  using kind = transform_slot;
};
template <std::size_t N>
struct side_option<outliers<outlier_elements<N>>> {
  using kind = outliers_slot;
};

template <class Kind, class... Options>
inline constexpr int count_options =
    (0 + ... + static_cast<int>(std::is_same_v<typename side_option<Options>::kind, Kind>));

/// What is said of one side beside its spec.
template <class... Options>
struct side_options {
  using transform = no_transform;
  static constexpr std::size_t residual = 0;
  static constexpr std::size_t outliers = 0;
  static constexpr bool before_rope = false;
};
template <class First, class... Rest>
struct side_options<First, Rest...> : side_options<Rest...> {};
template <class... Rest>
struct side_options<qompose::before_rope, Rest...> : side_options<Rest...> {
  static constexpr bool before_rope = true;
};
template <std::size_t N, class... Rest>
struct side_options<qompose::residual<N>, Rest...> : side_options<Rest...> {
  static constexpr std::size_t residual = qompose::residual<N>::tokens;
};
template <class Policy, class... Rest>
struct side_options<qompose::transform<Policy>, Rest...> : side_options<Rest...> {
  using transform = Policy;
};

template <std::size_t N, class... Rest>
struct side_options<qompose::outliers<outlier_elements<N>>, Rest...> : side_options<Rest...> {
  static constexpr std::size_t outliers = outlier_elements<N>::elements;
};

/// Scales and offsets that stand by themselves: numbers of a format, or of a quant of one.
template <class Format>
inline constexpr bool is_cache_scale = number_format<Format>;
template <>
inline constexpr bool is_cache_scale<void> = true;
template <quant_spec Format>
inline constexpr bool is_cache_scale<Format> =
    number_format<typename Format::element> &&
    std::is_same_v<typename Format::scale_type, scale<fp32>> &&
    std::is_same_v<typename Format::zero_type, no_zero> &&
    Format::granularity_type::group_cols(1 << 20) == 1 << 20;
template <class Zero>
inline constexpr bool is_cache_zero = number_format<typename Zero::format>;
template <>
inline constexpr bool is_cache_zero<no_zero> = true;

/// What one side of a cache can be stored as; its granularity aside.
template <class Spec>
inline constexpr bool is_cache_spec = [] {
  if constexpr (quant_spec<Spec>) {
    return (number_format<typename Spec::element> || is_shared_codebook<typename Spec::element>) &&
           Spec::element::bits <= 8 && Spec::granularity_type::group_rows(2) == 1 &&
           is_cache_scale<typename Spec::scale_type::format> &&
           (number_format<typename Spec::scale_type::format> ||
            !has_granularity<Spec, per_channel>) &&
           is_cache_zero<typename Spec::zero_type>;
  } else {
    return is_plain_float<Spec>;
  }
}();

template <class Spec>
inline constexpr std::size_t cache_group = 16;
template <quant_spec Spec>
inline constexpr std::size_t cache_group<Spec> =
    std::min<std::size_t>(Spec::granularity_type::group_cols(1 << 20), 1 << 20);

/// Tokens that units of codes of a spec hold, as columns of a panel.
template <class Spec>
inline constexpr std::size_t cache_step =
    spec_parts<Spec>::element::bits < 8 && spec_parts<Spec>::element::bits % 2 == 1 ? 32 : 16;

/// The format of tokens that are not quantized yet, or never.
template <class Spec>
using exact_format = std::conditional_t<is_plain_float<Spec>, Spec, fp16>;

}  // namespace detail

/// How keys are stored.
///
/// @tparam Spec     fp32, fp16, bf16, or a quant of at most 8 bits: `per_token`, `per_group<N>`
///                  along the head, or `per_channel`, one scale for each KV head, channel and block
///                  of tokens: the page of `paged<N>`, or the N of `residual<N>` when contiguous.
///                  Tokens of a block that is not full are kept as fp16.
/// @tparam Options  `before_rope`, `transform<...>`, `residual<N>`,
/// `outliers<outlier_elements<N>>`, in
///                  any order
template <class Spec, class... Options>
struct keys {
  static_assert(tensor_spec<Spec>,
                "qompose: keys: the first argument is neither a number format nor a quant<...>; "
                "write keys<fp16> or keys<quant<int8, per_token>>");
  static_assert(detail::is_cache_spec<Spec>,
                "qompose: keys: a cache stores fp32, fp16, bf16, or codes of at most 8 bits whose "
                "scales are numbers or a quant with one float a token; write "
                "keys<quant<int8, per_token>>");
  static_assert(detail::cache_group<Spec> % detail::cache_step<Spec> == 0 ||
                    detail::has_granularity<Spec, per_token>,
                "qompose: keys: groups are no multiple of 16 elements (32 for codes of an odd "
                "number of bits); write per_group<32>");
  static_assert(((!std::is_same_v<typename detail::side_option<Options>::kind, void>) && ...),
                "qompose: keys: an option is unknown; write before_rope, transform<hadamard>, "
                "residual<32> or outliers<outlier_elements<1>>");
  static_assert(((detail::count_options<typename detail::side_option<Options>::kind, Options...> ==
                  1) &&
                 ...),
                "qompose: keys: an option is given twice; name each once");
  static_assert(quant_spec<Spec> || detail::count_options<detail::outliers_slot, Options...> == 0,
                "qompose: keys: floats have no outliers; leave the option out, or quantize them");
  using slot = detail::keys_slot;
  using policy = Spec;
  using options = detail::side_options<Options...>;
};

/// How values are stored.
///
/// @tparam Spec     fp32, fp16, bf16, or a quant of at most 8 bits, `per_token` or `per_group<N>`
///                  along the head
/// @tparam Options  `transform<...>`, `residual<N>`, `outliers<outlier_elements<N>>`, in any order
template <class Spec, class... Options>
struct values {
  static_assert(tensor_spec<Spec>,
                "qompose: values: the first argument is neither a number format nor a quant<...>; "
                "write values<fp16> or values<quant<int8, per_token>>");
  static_assert(detail::is_cache_spec<Spec>,
                "qompose: values: a cache stores fp32, fp16, bf16, or codes of at most 8 bits "
                "whose scales are numbers or a quant with one float a token; write "
                "values<quant<int8, per_token>>");
  static_assert(!detail::has_granularity<Spec, per_channel>,
                "qompose: values: scales per channel are for keys, whose channels have outliers; "
                "write per_token or per_group<32>");
  static_assert(detail::cache_group<Spec> % 16 == 0,
                "qompose: values: groups are no multiple of 16 elements; write per_group<32>");
  static_assert(((!std::is_same_v<typename detail::side_option<Options>::kind, void> &&
                  !std::is_same_v<Options, before_rope>) &&
                 ...),
                "qompose: values: an option is unknown; write transform<hadamard>, residual<32> or "
                "outliers<outlier_elements<1>>");
  static_assert(((detail::count_options<typename detail::side_option<Options>::kind, Options...> ==
                  1) &&
                 ...),
                "qompose: values: an option is given twice; name each once");
  static_assert(quant_spec<Spec> || detail::count_options<detail::outliers_slot, Options...> == 0,
                "qompose: values: floats have no outliers; leave the option out, or quantize them");
  using slot = detail::values_slot;
  using policy = Spec;
  using options = detail::side_options<Options...>;
};

/// @cond
namespace detail {
template <class Policy>
inline constexpr bool is_cache_layout = std::is_same_v<Policy, contiguous>;
template <std::size_t N>
inline constexpr bool is_cache_layout<paged<N>> = true;
}  // namespace detail
/// @endcond

/// Where tokens lie in memory: `contiguous` or `paged<N>`.
template <class Policy>
struct layout {
  static_assert(detail::is_cache_layout<Policy>,
                "qompose: layout: the argument is not a cache layout; write layout<contiguous> or "
                "layout<paged<64>>");
  using slot = detail::layout_slot;
  using policy = Policy;
};

/// Which tokens are dropped: `keep_all`, `window<W>` or `sinks_and_window<S, W>`.
template <class Policy>
struct eviction {
  static_assert(
      requires {
        { Policy::sinks } -> std::convertible_to<std::size_t>;
        { Policy::tokens } -> std::convertible_to<std::size_t>;
      },
      "qompose: eviction: the argument is not an eviction policy; write "
      "eviction<keep_all> or eviction<sinks_and_window<4, 1024>>");
  using slot = detail::eviction_slot;
  using policy = Policy;
};

}  // namespace qompose
