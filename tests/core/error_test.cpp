// SPDX-License-Identifier: Apache-2.0

#include "qompose/core/error.hpp"

#include <stdexcept>

#include "support/catch.hpp"
#include "support/contains.hpp"

namespace qp = qompose;

TEST_CASE("error: every exception of the library is a qompose::error and a std::runtime_error",
          "[core][error]") {
  CHECK_THROWS_AS(throw qp::shape_error("s"), qp::error);
  CHECK_THROWS_AS(throw qp::value_error("v"), qp::error);
  CHECK_THROWS_AS(throw qp::argument_error("a"), qp::error);
  CHECK_THROWS_AS(throw qp::file_error("f"), qp::error);
  CHECK_THROWS_AS(throw qp::error("e"), std::runtime_error);
  CHECK_THROWS_WITH(throw qp::file_error("model.gguf: no such file"), "model.gguf: no such file");
}

TEST_CASE("error: a shape error says what had which shape and which one it needed",
          "[core][error]") {
  CHECK_THROWS_WITH(qp::throw_shape_error("o_proj.weight", 4096, 4000, 4096, 4096),
                    "o_proj.weight: shape [4096, 4000], expected [4096, 4096]");
}
