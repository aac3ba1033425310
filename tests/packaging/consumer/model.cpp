// SPDX-License-Identifier: Apache-2.0

#include <cstdio>

#include <qompose/model.hpp>

/// Reaches a function that needs the model part's dependencies.
void use_model() {
  try {
    qompose::load_model("no such file");
  } catch (const qompose::file_error& error) {
    std::printf("as expected: %s\n", error.what());
  }
}
