// SPDX-License-Identifier: Apache-2.0
/// @file
/// @brief A number format of one's own, used in a layer without touching the library.
#include <cmath>
#include <cstdio>
#include <vector>

#include "qompose/qompose.hpp"

/// Logarithmic numbers of 5 bits: 0, or a sign and 2^-7 .. 2^7.
struct log5 {
  using storage_type = unsigned char;
  static constexpr const char* name = "log5";
  static constexpr int bits = 5;
  static constexpr float max_finite = 128.0f;

  static storage_type encode(float value) noexcept {
    const float exponent = std::nearbyint(std::log2(std::fabs(value)));
    if (!(exponent >= -7.0f)) return 0;
    const int field = static_cast<int>(std::fmin(exponent, 7.0f)) + 8;
    return static_cast<storage_type>(field | (value < 0.0f ? 16 : 0));
  }
  static constexpr float decode(storage_type code) noexcept {
    const float magnitude = code % 16 == 0 ? 0.0f : static_cast<float>(1 << code % 16) / 256.0f;
    return code >= 16 ? -magnitude : magnitude;
  }
};

int main() {
  using spec = qompose::quant<log5, qompose::per_channel>;
  const std::vector<float> weights{1.0f, -0.5f, 0.25f, 0.0f, 3.0f, 6.0f, -12.0f, 1.5f};
  const std::vector<float> x{1.0f, 2.0f, 3.0f, 4.0f};
  std::vector<float> y(2);
  const auto layer = qompose::compress<spec>({weights.data(), 2, 4});
  layer({x.data(), 1, 4}, {y.data(), 1, 2});
  std::printf("%s: %g %g\n", qompose::describe<spec>().c_str(), double{y[0]}, double{y[1]});
}
