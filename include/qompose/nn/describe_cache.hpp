// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief The text of a cache's composition, for files and tables.

#include <string>

#include "qompose/nn/kv_cache.hpp"
#include "qompose/recipe/describe.hpp"

namespace qompose {
inline namespace QOMPOSE_ISA {

/// The text of a cache: `"kv_cache<keys<fp16, before_rope>, values<fp16>, layout<paged<64>>>"`.
/// Keys and values are always there; other parts are left out where they have their default.
template <class Cache>
[[nodiscard]] std::string describe_cache() {
  const auto side = [](const char* name, const std::string& spec, auto options) {
    using given = decltype(options);
    std::string text = std::string(name) + "<" + spec;
    if (given::before_rope) text += ", before_rope";
    if constexpr (!given::transform::is_identity) {
      text += ", transform<" + std::string(given::transform::name) + ">";
    }
    if (given::outliers > 0) {
      text += ", outliers<outlier_elements<" + std::to_string(given::outliers) + ">>";
    }
    if (given::residual > 0) text += ", residual<" + std::to_string(given::residual) + ">";
    return text + ">";
  };
  std::string text =
      "kv_cache<" +
      side("keys", describe<typename Cache::key_spec>(), typename Cache::key_options{}) + ", " +
      side("values", describe<typename Cache::value_spec>(), typename Cache::value_options{});
  if (Cache::is_paged) {
    text += ", layout<paged<" + std::to_string(Cache::block_tokens) + ">>";
  }
  if (Cache::window_tokens > 0) {
    const std::string window = std::to_string(Cache::window_tokens);
    text += Cache::sinks > 0 ? ", eviction<sinks_and_window<" + std::to_string(Cache::sinks) +
                                   ", " + window + ">>"
                             : ", eviction<window<" + window + ">>";
  }
  if (Cache::exact_tokens_first > 0) {
    text += ", exact_first<" + std::to_string(Cache::exact_tokens_first) + ">";
  }
  return text + ">";
}

}  // namespace QOMPOSE_ISA
}  // namespace qompose
