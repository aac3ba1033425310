// SPDX-License-Identifier: Apache-2.0

#include "support/targets.hpp"

#include "qompose/kernels/kernels.hpp"

namespace qompose_tests {

std::string targets() {
  std::string names;
  qompose::for_each_target([&]<class Target>() {
    if (!names.empty()) names += ' ';
    names += Target::name();
  });
  return names;
}

}  // namespace qompose_tests
