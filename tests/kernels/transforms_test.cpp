// SPDX-License-Identifier: Apache-2.0

#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/on_each_target.hpp"
#include "policy_lists.hpp"
#include "qompose/nn/compress.hpp"
#include "support/catch.hpp"
#include "support/matrix.hpp"
#include "support/same.hpp"
#include "support/transform_data.hpp"

namespace qp = qompose;
using namespace qompose_tests;

namespace {

/// Whether every target transforms rows of n elements to the very bits of the scalar reference, in
/// place and to another row.
template <class Transform>
void check_length(std::size_t n) {
  const typename Transform::data data = some_data<Transform>(n);
  const matrix x = random_matrix(1, n, n);
  matrix wanted = x;
  Transform::forward(data, wanted.values().data(), n);
  qp::for_each_target([&]<class Target>() {
    using kernel = typename Target::template transform_row<Transform>;
    INFO("target " << Target::name() << ", n " << n);
    matrix y(1, n);
    kernel::Run(data, x.values().data(), y.values().data(), n);
    CHECK(y.values() == wanted.values());
    y = x;
    kernel::Run(data, y.values().data(), y.values().data(), n);
    CHECK(y.values() == wanted.values());
  });
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("transforms: every target equals the scalar reference bit for bit",
                        "[kernels][transforms]", transforms) {
  for (std::size_t n = 1; n <= 70; ++n) check_length<TestType>(n);
  for (const std::size_t n : {127u, 130u, 199u, 576u, 768u, 1000u, 1536u, 5120u}) {
    check_length<TestType>(n);
  }
}

TEMPLATE_TEST_CASE("Walsh-Hadamard: powers of two on every target", "[kernels][transforms]",
                   qp::hadamard, qp::block_hadamard<65536>, qp::block_hadamard<128>,
                   qp::block_hadamard<8>) {
  for (std::size_t n = 1; n <= 65536; n *= 2) check_length<TestType>(n);
}

TEST_CASE("hadamard: rows of models on every target", "[kernels][transforms]") {
  for (const std::size_t n : {896u, 3072u, 4864u, 6656u, 11008u, 13824u, 14336u, 28672u, 9984u}) {
    check_length<qp::hadamard>(n);
  }
}

TEMPLATE_LIST_TEST_CASE("transforms: a layer transforms its activations", "[kernels][transforms]",
                        transforms) {
  using recipe = qp::recipe<qp::transform<TestType>>;
  for (const std::size_t n : {1u, 7u, 24u, 64u, 100u, 192u}) {
    // A layer of the identity hands the transformed row through: adding zeros changes nothing.
    qp::quantized_matrix<qp::fp32> identity(n, n);
    for (std::size_t i = 0; i < n; ++i) identity.set_code(i, i, qp::fp32::encode(1.0f));
    qp::packed_matrix<qp::fp32> packed(n, n);
    packed.store(0, identity);
    const auto data = some_data<TestType>(n);
    const qp::linear<recipe> layer(std::move(packed), qp::aligned_buffer<float>(), data);

    const matrix x = random_matrix(3, n, n);
    matrix wanted = x;
    for (std::size_t r = 0; r < 3; ++r) TestType::forward(data, wanted.view().row(r), n);
    on_each_target([&]<class Isa>() {
      matrix y(3, n);
      qp::workspace scratch;
      layer.template operator()<qp::serial, Isa>(x.view(), y.view(), qp::serial{}, scratch);
      INFO("n " << n);
      CHECK(y.values() == wanted.values());
    });
  }
}

TEMPLATE_LIST_TEST_CASE("transforms: weights are folded as the scalar reference does it",
                        "[kernels][transforms]", transforms) {
  for (const std::size_t n : {5u, 64u, 96u, 768u}) {
    const auto data = some_data<TestType>(n);
    const matrix w = random_matrix(3, n, n);
    matrix wanted = w;
    for (std::size_t r = 0; r < 3; ++r) TestType::fold(data, wanted.view().row(r), n);
    const auto layer = qp::compress<qp::recipe<qp::transform<TestType>>>(
        w.view(), {}, qp::default_rule{}, qp::serial{}, data);
    CHECK(same(layer.quantized(), qp::quantize<qp::fp32>(wanted.view())));
  }
}
