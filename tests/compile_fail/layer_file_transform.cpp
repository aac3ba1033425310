// SPDX-License-Identifier: Apache-2.0
// expect: qompose: layer file: the transform has data, for which the file has no part

#include <cstddef>
#include <string_view>

#include "qompose/io/layer_file.hpp"
#include "qompose/recipe/catalogue.hpp"

namespace qp = qompose;

/// One gain for all channels.
struct gain {
  struct data {
    float factor;
  };
  static constexpr bool is_identity = false;
  static constexpr std::string_view name = "gain";
  static void forward(const data& d, float* row, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) row[i] *= d.factor;
  }
  static void fold(const data& d, float* row, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) row[i] /= d.factor;
  }
  static void unfold(const data& d, float* row, std::size_t n) noexcept { forward(d, row, n); }
};

using layer = qp::linear<qp::recipe<qp::weight<qp::w4_g32>, qp::transform<gain>>>;
void wrong(const layer& l) { qp::save("layer.safetensors", l); }
