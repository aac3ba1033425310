// SPDX-License-Identifier: Apache-2.0
// expect: qompose: linear: a format wider than 8 bits is not fp16, bf16 or fp32

#include "qompose/qompose.hpp"

namespace qp = qompose;

/// A right number format, of 12 bits.
struct twelve_bits {
  using storage_type = std::uint16_t;
  static constexpr std::string_view name = "twelve_bits";
  static constexpr int bits = 12;
  static constexpr float max_finite = 4095.0f;
  static constexpr storage_type encode(float value) noexcept {
    return static_cast<storage_type>(value);
  }
  static constexpr float decode(storage_type code) noexcept { return static_cast<float>(code); }
};
static_assert(qp::number_format<twelve_bits>);

static_assert(sizeof(qp::linear<qp::quant<twelve_bits, qp::per_channel>>) > 0);
