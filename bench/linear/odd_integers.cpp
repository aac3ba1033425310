// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Layers of signs, of integer weights of 2, 3, 5 and 6 bits, ternary ones and those of two
///        levels.

#include "linear/layer.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/recipe.hpp"

namespace {

namespace qp = qompose;

[[maybe_unused]] const bool added = [] {
  using w6_g32 = qp::quant<qp::int_n<6>, qp::per_group<32>, qp::scale<qp::fp16>>;
  qompose_bench::add_layers<qp::binary_channel>("binary_");
  qompose_bench::add_layers<qp::ternary_channel>("ternary_");
  qompose_bench::add_layers<qp::w2_channel>("w2");
  qompose_bench::add_layers<qp::w3_g32>("w3", "_g32");
  qompose_bench::add_layers<qp::q5_0>("w5", "_g32");
  qompose_bench::add_layers<w6_g32>("w6", "_g32");
  qompose_bench::add_layers<qp::w4_progressive>("w4_progressive_");
  return true;
}();

}  // namespace
