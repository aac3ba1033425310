// SPDX-License-Identifier: Apache-2.0

/// @file
/// @brief Layers of weights that are looked up, and of plain floats.

#include "linear/layer.hpp"
#include "qompose/formats/approximate.hpp"
#include "qompose/recipe/catalogue.hpp"
#include "qompose/recipe/presets.hpp"

namespace {

namespace qp = qompose;

[[maybe_unused]] const bool added = [] {
  qompose_bench::add_layers<qp::nf4_g64>("nf4_", "_g64");
  using nf4_approximate = qp::quant<qp::approximate<qp::nf4>, qp::per_group<64>>;
  qompose_bench::add_layers<nf4_approximate>("nf4_approximate_", "_g64");
  qompose_bench::add_layers<qp::codebook4>("codebook16_");
  qompose_bench::add_layer<qp::w16a32>("bf16");
  qompose_bench::add_layer<qp::recipe<>>("f32");
  return true;
}();

}  // namespace
