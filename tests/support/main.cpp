// SPDX-License-Identifier: Apache-2.0

#define CATCH_CONFIG_RUNNER  // Catch2 2.13 compiles its runner here; 3.x has it in a library
#include <iostream>

#include "support/catch.hpp"
#include "support/targets.hpp"

int main(int argc, char** argv) {
  std::cout << "targets: " << qompose_tests::targets() << std::endl;
  return Catch::Session().run(argc, argv);
}
