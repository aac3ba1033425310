// SPDX-License-Identifier: Apache-2.0

#include "caches.hpp"

#include <algorithm>

namespace demo {

const std::vector<cache_kind>& all_caches() {
  static const std::vector<cache_kind> all = {f32_cache(),          f16_cache(),
                                              bf16_cache(),         int8_cache(),
                                              fp8_cache(),          mxfp8_cache(),
                                              int4_cache(),         int4_hadamard_cache(),
                                              int4_minimum_cache(), int4_symmetric_cache(),
                                              nvfp4_cache(),        mxfp4_cache(),
                                              nf4_cache(),          int3_cache(),
                                              int2_cache()};
  return all;
}

const cache_kind* find_cache(std::string_view name) {
  const auto& all = all_caches();
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const cache_kind& kind) { return kind.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::string known_caches() {
  std::string names;
  for (const cache_kind& kind : all_caches()) {
    names += (names.empty() ? "" : ", ") + std::string(kind.name);
  }
  return names;
}

}  // namespace demo
