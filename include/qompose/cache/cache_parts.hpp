// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The slots of a cache: keys, values, layout, eviction, in any order.

#include <concepts>
#include <type_traits>

#include "qompose/cache/contiguous.hpp"
#include "qompose/cache/keep_all.hpp"
#include "qompose/formats/bf16.hpp"
#include "qompose/formats/fp16.hpp"
#include "qompose/formats/fp32.hpp"
#include "qompose/formats/int_n.hpp"
#include "qompose/granularity/per_token.hpp"
#include "qompose/recipe/quant.hpp"
#include "qompose/recipe/recipe.hpp"

namespace qompose {

namespace detail {

struct keys_slot {};
struct values_slot {};
struct layout_slot {};
struct eviction_slot {};

/// What one side of a cache can be stored as.
template <class Spec>
inline constexpr bool is_cache_spec =
    std::is_same_v<Spec, fp32> || std::is_same_v<Spec, fp16> || std::is_same_v<Spec, bf16> ||
    std::is_same_v<Spec, quant<int8, per_token>>;

}  // namespace detail

/// How keys are stored: fp32, fp16, bf16 or `quant<int8, per_token>` (a scale per token and head).
template <class Spec>
struct keys {
  static_assert(detail::is_cache_spec<Spec>,
                "qompose: keys: the cache stores fp32, fp16, bf16 or quant<int8, per_token>; name "
                "one of them");
  using slot = detail::keys_slot;
  using policy = Spec;
};

/// How values are stored: fp32, fp16, bf16 or `quant<int8, per_token>` (a scale per token and
/// head).
template <class Spec>
struct values {
  static_assert(detail::is_cache_spec<Spec>,
                "qompose: values: the cache stores fp32, fp16, bf16 or quant<int8, per_token>; "
                "name one of them");
  using slot = detail::values_slot;
  using policy = Spec;
};

/// Where tokens lie in memory.
template <class Policy>
struct layout {
  static_assert(std::same_as<Policy, contiguous>,
                "qompose: layout: the argument is not a cache layout; write layout<contiguous>");
  using slot = detail::layout_slot;
  using policy = Policy;
};

/// Which tokens are dropped.
template <class Policy>
struct eviction {
  static_assert(std::same_as<Policy, keep_all>,
                "qompose: eviction: the argument is not an eviction policy; write "
                "eviction<keep_all>");
  using slot = detail::eviction_slot;
  using policy = Policy;
};

}  // namespace qompose
