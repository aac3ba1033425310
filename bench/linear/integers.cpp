// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Layers of 8-bit and 4-bit integer weights.

#include "linear/layer.hpp"
#include "qompose/recipe/presets.hpp"

namespace {

namespace qp = qompose;

[[maybe_unused]] const bool added = [] {
  qompose_bench::add_layers<qp::w8_channel>("w8");
  qompose_bench::add_layers<qp::w4_channel>("w4");
  qompose_bench::add_layers<qp::w4_g128>("w4", "_g128");
  qompose_bench::add_layers<qp::w4_g32>("w4", "_g32");
  qompose_bench::add_layer<qp::w8a8_static>("w8a8_static");
  qompose_bench::add_layer<qp::w4a8_minimum_g32>("w4a8_minimum_g32");
  qompose_bench::add_layer<qp::w4a8_g32_hadamard>("w4a8_g32_hadamard");
  return true;
}();

}  // namespace
