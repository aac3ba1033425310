// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief Runs a check on every instruction set that the program and the processor have.

#include <cstdint>

#include "qompose/kernels/kernels.hpp"
#include "support/catch.hpp"

namespace qompose_tests {

template <class Target>
struct isa_of;
template <std::int64_t kTarget>
struct isa_of<qompose::detail::Target<kTarget>> {
  using type = qompose::detail::isa<kTarget>;
};

/// Calls f.template operator()<Isa>(); the library's calls take `Isa` as their template argument
/// and then run on that target alone.
template <class F>
void on_each_target(F&& f) {
  qompose::for_each_target([&]<class Target>() {
    INFO("target " << Target::name());
    f.template operator()<typename isa_of<Target>::type>();
  });
}

}  // namespace qompose_tests
