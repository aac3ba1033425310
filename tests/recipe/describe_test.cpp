// SPDX-License-Identifier: Apache-2.0

#include "qompose/recipe/describe.hpp"

#include <map>
#include <string>
#include <typeindex>
#include <typeinfo>

#include "qompose/recipe/catalogue_rows.hpp"
#include "qompose/recipe/presets.hpp"
#include "support/catch.hpp"

namespace qp = qompose;

TEST_CASE("describe: a spec is written as in code, without what has its default", "[recipe]") {
  CHECK(qp::describe<qp::bf16>() == "bf16");
  CHECK(qp::describe<qp::w8_channel>() == "quant<int8, per_channel>");
  CHECK(qp::describe<qp::w4_zero_g128>() ==
        "quant<uint4, per_group<128>, scale<fp16>, zero<uint4>>");
  CHECK(qp::describe<qp::codebook4_shared>() ==
        "quant<codebook<16, fp16, tensor>, per_group<64>, scale<fp16>>");
}

TEST_CASE("describe: a recipe names its slots in one order and leaves out defaults", "[recipe]") {
  CHECK(qp::describe<qp::recipe<>>() == "recipe<>");
  CHECK(qp::describe<qp::recipe<qp::weight<qp::fp32>, qp::transform<qp::no_transform>>>() ==
        "recipe<>");
  CHECK(qp::describe<qp::w16a32>() == "recipe<weight<bf16>>");
  using hadamard = qp::transform<qp::block_hadamard<64>>;
  CHECK(qp::describe<
            qp::recipe<hadamard, qp::activation<qp::a8_token>, qp::weight<qp::w8_channel>>>() ==
        "recipe<weight<quant<int8, per_channel>>, activation<quant<int8, per_token>>, "
        "transform<block_hadamard<64>>>");
  CHECK(qp::describe<
            qp::recipe<qp::activation<qp::quant<qp::int8, qp::per_group<32>>, qp::calibrated>>>() ==
        "recipe<activation<quant<int8, per_group<32>>, calibrated>>");
  CHECK(qp::describe<qp::recipe<hadamard>>() == "recipe<transform<block_hadamard<64>>>");
}

TEST_CASE("describe: no two specs of the catalogue have the same text", "[recipe]") {
  std::map<std::string, std::type_index> types;
  qp::for_each_in_catalogue([&]<class Spec>(const qp::catalogue_row<Spec>& row) {
    INFO(row.name);
    const std::type_index type = typeid(Spec);
    CHECK(types.emplace(qp::describe<Spec>(), type).first->second == type);
  });
}
