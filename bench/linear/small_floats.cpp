// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Layers of small floats: those that small integers stand for exactly, and fp8 and e3m2.

#include "linear/layer.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/recipe.hpp"

namespace {

namespace qp = qompose;

[[maybe_unused]] const bool added = [] {
  qompose_bench::add_layers<qp::mxfp4>("mxfp4_");
  using mxfp4_both = qp::recipe<qp::weight<qp::mxfp4>, qp::activation<qp::mxfp4>>;
  qompose_bench::add_layer<mxfp4_both>("mxfp4_mxfp4");
  qompose_bench::add_layers<qp::nvfp4>("nvfp4_");
  qompose_bench::add_layers<qp::mxfp6_e2m3>("mxfp6_e2m3_");
  qompose_bench::add_layers<qp::mxint8>("mxint8_");
  qompose_bench::add_layers<qp::fp8_e4m3_channel>("fp8_e4m3_");
  qompose_bench::add_layers<qp::mxfp6_e3m2>("mxfp6_e3m2_");
  return true;
}();

}  // namespace
