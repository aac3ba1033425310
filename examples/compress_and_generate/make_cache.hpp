// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief For the files that define a cache.

#include "caches.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/presets.hpp"

namespace demo {

template <class... Parts>
qp::cache_choice choose() {
  return qp::choose_cache<qp::kv_cache<Parts...>>();
}

/// Both sides alike.
template <class Spec, class... Options>
qp::cache_choice choose_both() {
  return choose<qp::keys<Spec, Options...>, qp::values<Spec, Options...>>();
}

}  // namespace demo
