// SPDX-License-Identifier: Apache-2.0

#include "qompose/transforms/channel_scale.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace qp = qompose;

TEST_CASE("channel_scale: multiplies activations and divides weights", "[transforms]") {
  const std::vector<float> factors{2.0f, 0.5f, -4.0f};
  const qp::channel_scale::data data{factors};
  CHECK(data.storage_bytes() == 12);
  std::vector<float> row{1.0f, 2.0f, 3.0f};
  qp::channel_scale::forward(data, row.data(), 3);
  CHECK(row == std::vector<float>{2.0f, 1.0f, -12.0f});
  qp::channel_scale::fold(data, row.data(), 3);
  CHECK(row == std::vector<float>{1.0f, 2.0f, 3.0f});
}

TEST_CASE("channel_scale: refuses factors without an inverse and other lengths", "[transforms]") {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float wrong : {0.0f, -0.0f, infinity, -infinity, std::nanf(""), 1e-45f}) {
    const std::vector<float> factors{1.0f, wrong};
    std::string message;
    try {
      const qp::channel_scale::data data(factors);
    } catch (const qp::value_error& error) {
      message = error.what();
    }
    INFO(message);
    CHECK(message.rfind("channel_scale: factor of channel 1: ", 0) == 0);
  }
  const qp::channel_scale::data data(std::vector<float>(3, 1.0f));
  CHECK_NOTHROW(qp::channel_scale::require(data, 3));
  CHECK_THROWS_AS(qp::channel_scale::require(data, 4), qp::shape_error);
}
