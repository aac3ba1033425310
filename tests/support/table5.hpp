// SPDX-License-Identifier: Apache-2.0
#pragma once

/// @file
/// @brief A number format from outside the library: 32 values in a table.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "qompose/formats/number_format.hpp"

namespace qompose_tests {

/// Five bits: a sign and the squares of 0 .. 15, so that small values are finer than large ones.
struct table5 {
  using storage_type = std::uint8_t;

  static constexpr std::string_view name = "table5";
  static constexpr int bits = 5;
  static constexpr float max_finite = 225.0f;

  static constexpr float decode(storage_type code) noexcept {
    const auto root = static_cast<float>(code & 15);
    return (code & 16) != 0 ? -root * root : root * root;
  }
  static constexpr storage_type encode(float value) noexcept {
    storage_type best = 0;
    for (storage_type code = 1; code < 32; ++code) {
      const float old_error = decode(best) < value ? value - decode(best) : decode(best) - value;
      const float error = decode(code) < value ? value - decode(code) : decode(code) - value;
      if (error < old_error) best = code;
    }
    return best;
  }
};

static_assert(qompose::number_format<table5>);
static_assert(!qompose::integer_format<table5>);

}  // namespace qompose_tests
